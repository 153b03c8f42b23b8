"""The demo's song: real recorded music, with a mark where its guitar really rests.

"Feelings" by Sectoid (MIT, see `feelings/LICENSE`): 40 s of which the guitar and the rest of the band are
known apart. It is marked where the guitar's own recording is silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.marks import Mark, MarkState

TITLE = "'Feelings' by Sectoid"
FOLDER = Path(__file__).with_name("feelings")
MARKS_FILE = FOLDER / "marks.txt"
# The guitar is `other` to a network of four stems.
STEM_FILES = {"other": "guitar.ogg", "the rest": "band.ogg"}
PEAK = 0.97  # of the mix, -0.3 dBFS: where mastering usually leaves it


@dataclass(frozen=True)
class DemoSong:
    """A song of which the true stems are known."""

    stems: dict[str, NDArray[np.float32]]
    """The guitar as `other`, and `the rest`: [T, C] each."""
    mix: NDArray[np.float32]
    """The sum of the stems: [T, C]."""
    marks: tuple[Mark, ...]
    """Where the guitar is silent."""
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.mix) / self.sample_rate_hz


def load_demo_song() -> DemoSong:
    """Read the stems and the mark."""
    recorded = {name: soundfile.read(FOLDER / file, dtype="float32") for name, file in STEM_FILES.items()}
    sample_rate_hz: int = recorded["other"][1]
    frames = min(len(audio) for audio, _ in recorded.values())
    mix = sum(audio[:frames] for audio, _ in recorded.values())
    gain = np.float32(PEAK / np.max(np.abs(mix)))
    return DemoSong(
        stems={name: gain * audio[:frames] for name, (audio, _) in recorded.items()},
        mix=gain * mix,
        marks=tuple(read_marks(sample_rate_hz)),
        sample_rate_hz=sample_rate_hz,
    )


def read_marks(sample_rate_hz: int) -> Iterator[Mark]:
    """Read the demo's Audacity label track: start and end in seconds, and `no SOURCE`."""
    for line in MARKS_FILE.read_text(encoding="utf-8").splitlines():
        start_s, end_s, label = line.split("\t")
        start_frame, end_frame = (round(float(time_s) * sample_rate_hz) for time_s in (start_s, end_s))
        yield Mark(label.removeprefix("no "), MarkState.SILENT, start_frame, end_frame)


def write_mix(song: DemoSong, path: Path) -> None:
    """Write the mix as 24-bit WAV, the format that finished mixes usually come in."""
    soundfile.write(path, song.mix, song.sample_rate_hz, subtype="PCM_24")
