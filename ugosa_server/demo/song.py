"""The demo's song: real recorded music with marks that follow from its true stems.

The music is the excerpt inside the `stempeg` wheel (The Easton Ellises, "Falcon 69", from MUSDB18). Its terms
forbid shipping it here, so it is read from the installed package. That package is located and not imported,
because it refuses to load without an ffmpeg binary.

The stems are edited as in the paper's experiment (Cantisani et al. 2021, section 5), so that every source has
a silent stretch. The marks in `marks.txt` are made from the edited stems by the annotation procedure of
MedleyDB; a test of `research/` computes them again.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.demo.silencing import draw_silencing, silenced_blocks
from ugosa_server.demo.stem_mp4 import SOURCES, decode_stem_mp4
from ugosa_server.errors import UgosaError
from ugosa_server.marks import Mark, MarkState

SEED = 0  # of the permutation that gives each source its silent quarter
EDGE_FRAMES = 3 * 1024  # AAC packets at both ends, which the cutting of the excerpt left with loud clicks
PEAK = 0.97  # of the mix, -0.3 dBFS: where mastering usually leaves it
MARKS_FILE = Path(__file__).with_name("marks.txt")


class DemoSongMissingError(UgosaError):
    """The package that carries the demo's song is not installed."""


@dataclass(frozen=True)
class DemoSong:
    """A song of which the true stems are known."""

    stems: dict[str, NDArray[np.float32]]
    """By source: [T, C]."""
    mix: NDArray[np.float32]
    """The sum of the stems: [T, C]."""
    marks: tuple[Mark, ...]
    """Where each source is silent."""
    sample_rate_hz: int
    """Frames a second."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.mix) / self.sample_rate_hz


def load_demo_song() -> DemoSong:
    """Read the excerpt, edit its stems so that each source has a silent stretch, and mark those.

    Raises:
        DemoSongMissingError: stempeg is not installed, or carries no song.
    """
    decoded, sample_rate_hz = read_stems(find_stem_file())
    recorded = [stem[EDGE_FRAMES:-EDGE_FRAMES] for stem in decoded]  # each [T, C]
    silencing = draw_silencing(len(SOURCES), len(recorded[0]), SEED)
    blocks = list(silenced_blocks(recorded, silencing))
    stems = np.concatenate([stems for stems, _ in blocks], axis=1)  # [S, T, C]
    # The mixture stream of the file is mastered and is not the sum of its stems, so their sum is the mix.
    mix = np.concatenate([mix for _, mix in blocks])  # [T, C]
    gain = np.float32(PEAK / np.max(np.abs(mix)))
    stems, mix = stems * gain, mix * gain
    return DemoSong(
        stems=dict(zip(SOURCES, stems, strict=True)),
        mix=mix,
        marks=tuple(read_marks(sample_rate_hz)),
        sample_rate_hz=sample_rate_hz,
    )


def find_stem_file() -> Path:
    """Return where the installed stempeg package keeps its song, without running any of its code."""
    spec = importlib.util.find_spec("stempeg")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    for folder in folders:
        for path in sorted(Path(folder, "data").glob("*.stem.mp4")):
            return path
    raise DemoSongMissingError(
        "the demo's song comes inside the package stempeg, which is not installed; "
        "install it with: pip install 'ugosa-server[demo]'"
    )


def read_stems(path: Path) -> tuple[list[NDArray[np.float32]], int]:
    """Decode the true stems of a .stem.mp4, each [T, C], in the order of SOURCES; and their sample rate."""
    with tempfile.TemporaryDirectory(prefix="ugosa-demo-") as scratch:
        stems = decode_stem_mp4(path, Path(scratch))
        samples = [np.fromfile(stem.path, "<f4").reshape(-1, stem.channels) for stem in stems]
    frames = min(len(stem) for stem in samples)
    return [stem[:frames] for stem in samples], stems[0].sample_rate_hz


def read_marks(sample_rate_hz: int) -> Iterator[Mark]:
    """Read the demo's Audacity label track: start and end in seconds, and `no SOURCE`."""
    for line in MARKS_FILE.read_text(encoding="utf-8").splitlines():
        start_s, end_s, label = line.split("\t")
        start_frame, end_frame = (round(float(time_s) * sample_rate_hz) for time_s in (start_s, end_s))
        yield Mark(label.removeprefix("no "), MarkState.SILENT, start_frame, end_frame)


def write_mix(song: DemoSong, path: Path) -> None:
    """Write the mix as 24-bit WAV, the format that finished mixes usually come in."""
    soundfile.write(path, song.mix, song.sample_rate_hz, subtype="PCM_24")
