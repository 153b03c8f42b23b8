"""What is measured of stems under the marks: leakage, silence and the null; and where to listen."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.activations.activity import fade_frames, silent_spans
from ugosa_server.activations.intervals import Interval
from ugosa_server.activations.marks import Mark
from ugosa_server.audio.encode import read_blocks
from ugosa_server.audio.frames import BLOCK_FRAMES, SourceFrames
from ugosa_server.audio.level import energy_dbfs, peak_dbfs


class LeakageMeter:
    """Energy of each source's estimate inside its own marked silence, over a stream of blocks."""

    def __init__(self, marks: Sequence[Mark], sources: Sequence[str]) -> None:
        self._spans = [silent_spans(marks, source) for source in sources]
        self._energy = [0.0] * len(sources)
        self._samples = [0] * len(sources)
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all stems, [S, C, n]."""
        for i, spans in enumerate(self._spans):
            for part in _parts(block[i], self._position, spans):
                self._energy[i] += float(np.square(part, dtype=np.float64).sum())
                self._samples[i] += part.size
        self._position += block.shape[-1]

    def listen(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Pass blocks on, measuring them."""
        for block in blocks:
            self.add(block)
            yield block

    def levels_dbfs(self) -> list[float | None]:
        """RMS level of each source; None where nothing is marked silent."""
        return [
            energy_dbfs(energy / samples) if samples else None
            for energy, samples in zip(self._energy, self._samples, strict=True)
        ]


def total_power(levels_dbfs: Sequence[float | None]) -> float:
    """The sum of levels of `LeakageMeter` as a mean square; None counts as nothing."""
    return math.fsum(10.0 ** (level / 10) for level in levels_dbfs if level is not None)


class ExcerptRecorder:
    """Keeps one excerpt of a stream of blocks."""

    def __init__(self, start_frame: int, stop_frame: int) -> None:
        self._span = (start_frame, stop_frame)
        self._parts: list[NDArray[np.float32]] = []
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all stems, [S, C, n]."""
        self._parts += [part.copy() for part in _parts(block, self._position, [self._span])]
        self._position += block.shape[-1]

    def excerpt(self) -> NDArray[np.float32]:
        """[S, C, n]."""
        return np.concatenate(self._parts, axis=-1)


def densest_window(marks: Sequence[Mark], n_frames: int, window_frames: int) -> Interval:
    """The window that holds most marked silence, all sources together; the first one of equals."""
    window_frames = min(window_frames, n_frames)
    spans = [span for source in {mark.source for mark in marks} for span in silent_spans(marks, source)]
    last_start = n_frames - window_frames
    # Coverage is piecewise linear in the start; its corners are where an end of the window meets a mark's.
    corners = {edge - offset for span in spans for edge in span for offset in (0, window_frames)}
    starts = sorted({0, *(min(max(0, corner), last_start) for corner in corners)})

    def coverage(start: int) -> int:
        return sum(max(0, min(b, start + window_frames) - max(a, start)) for a, b in spans)

    best = max(starts, key=coverage)
    return best, best + window_frames


def stem_check_steps(n_frames: int) -> int:
    """How often `StemCheck.run` yields for a song of that length."""
    return math.ceil(n_frames / BLOCK_FRAMES)


class StemCheck:
    """Reads finished stems back next to the source and measures what was promised."""

    def __init__(
        self,
        stems: Sequence[Path],
        marks: Sequence[Mark],
        sources: Sequence[str],
        frames: SourceFrames,
        sample_rate_hz: int,
    ) -> None:
        self._stems, self._frames = stems, frames
        fade = fade_frames(sample_rate_hz)
        self._spans = [
            [_without_fades(span, fade, len(frames)) for span in silent_spans(marks, source)]
            for source in sources
        ]
        self._null_peak = 0.0
        self._peaks = [0.0] * len(stems)
        self._silence_peaks: list[float | None] = [None] * len(stems)

    def run(self) -> Generator[int, None, None]:
        """Measure block by block, yielding the number of blocks done."""
        with ExitStack() as files:
            readers = [read_blocks(path, BLOCK_FRAMES, dtype="float64") for path in self._stems]
            for reader in readers:
                files.callback(reader.close)  # type: ignore[attr-defined]
            for step, mix in enumerate(self._frames.blocks(), start=1):
                stems = [next(reader) for reader in readers]  # [n, C] each
                start = (step - 1) * BLOCK_FRAMES
                self._null_peak = max(self._null_peak, _peak(sum(stems) - mix.astype(np.float64)))
                for i, stem in enumerate(stems):
                    self._peaks[i] = max(self._peaks[i], _peak(stem))
                    for part in _parts(stem.T, start, self._spans[i]):
                        self._silence_peaks[i] = max(self._silence_peaks[i] or 0.0, _peak(part))
                yield step

    @property
    def null_peak_dbfs(self) -> float:
        """Peak of sum(stems) - mix; -inf when exact."""
        return peak_dbfs(self._null_peak)

    @property
    def peaks_dbfs(self) -> list[float]:
        """Peak of each stem."""
        return [peak_dbfs(peak) for peak in self._peaks]

    @property
    def silence_peaks_dbfs(self) -> list[float | None]:
        """Peak of each stem in its marked silence past the fades; None where there is no such frame."""
        return [None if peak is None else peak_dbfs(peak) for peak in self._silence_peaks]


def _parts(
    block: NDArray[np.float32], position: int, spans: Sequence[Interval]
) -> Iterator[NDArray[np.float32]]:
    """What of a block [..., n] that begins at frame `position` lies in the spans."""
    n_frames = block.shape[-1]
    for start, stop in spans:
        first, last = max(0, start - position), min(n_frames, stop - position)
        if first < last:
            yield block[..., first:last]


def _without_fades(span: Interval, fade: int, n_frames: int) -> Interval:
    start, stop = span
    return (start + fade if start > 0 else start), (stop - fade if stop < n_frames else stop)


def _peak(samples: NDArray[np.floating]) -> float:
    return float(np.abs(samples).max(initial=0.0))
