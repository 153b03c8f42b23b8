"""Check of the written stems: read back next to the song, they are measured and drawn."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.encode import read_blocks
from ugosa_server.audio.formats import peak_dbfs
from ugosa_server.audio.frames import BLOCK_FRAMES, SourceFrames
from ugosa_server.marks import Interval, MarkSet, fade_frames, inside
from ugosa_server.report.svg import Waveform, WaveformMeter


@dataclass(frozen=True)
class CheckedStems:
    """Measurements of the stem files."""

    null_peak_dbfs: float
    """Peak of sum(stems) - mix; -inf when exact."""
    silence_peaks_dbfs: tuple[float | None, ...]
    """Peak of each stem in its marked silence past the fades; None where there is no such frame."""
    mix: Waveform
    stems: tuple[Waveform, ...]

    @property
    def peaks_dbfs(self) -> list[float]:
        """Peak of each stem."""
        return [peak_dbfs(stem.peak) for stem in self.stems]


def stem_check_steps(n_frames: int) -> int:
    """Number of blocks that `check_stems` reads of a song of that length."""
    return math.ceil(n_frames / BLOCK_FRAMES)


def check_stems(
    paths: Sequence[Path], marks: MarkSet, sources: Sequence[str], frames: SourceFrames, sample_rate_hz: int
) -> Generator[int, None, CheckedStems]:
    """Read the files of finished stems back next to their song, yielding the number of blocks done."""
    fade = fade_frames(sample_rate_hz)
    silences = [
        [_without_fades(span, fade, len(frames)) for span in marks.silent(source)] for source in sources
    ]
    mix_waveform = WaveformMeter(len(frames))
    waveforms = [WaveformMeter(len(frames)) for _ in paths]
    null_peak = 0.0
    silence_peaks: list[float | None] = [None] * len(paths)
    with ExitStack() as files:
        readers = [files.enter_context(closing(read_blocks(path))) for path in paths]
        for step, mix in enumerate(frames.blocks(), start=1):
            start = (step - 1) * BLOCK_FRAMES
            left = -mix.astype(np.float64)  # [n, C]; the samples of the files are exact in float32
            for i, reader in enumerate(readers):
                stem = next(reader)
                left += stem
                waveforms[i].add(stem)
                for first, last in inside(silences[i], start, start + len(stem)):
                    silence_peaks[i] = max(silence_peaks[i] or 0.0, _peak(stem[first:last]))
            null_peak = max(null_peak, _peak(left))
            mix_waveform.add(mix)
            yield step
    return CheckedStems(
        peak_dbfs(null_peak),
        tuple(None if peak is None else peak_dbfs(peak) for peak in silence_peaks),
        mix_waveform.waveform(),
        tuple(meter.waveform() for meter in waveforms),
    )


def _without_fades(span: Interval, fade: int, n_frames: int) -> Interval:
    start, stop = span
    return (start + fade if start > 0 else start), (stop - fade if stop < n_frames else stop)


def _peak(samples: NDArray[np.floating]) -> float:
    return max(float(samples.max()), -float(samples.min()))
