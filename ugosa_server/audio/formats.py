"""What audio is called inside the server: the decoded source of a job and the encodings of its stems."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class SourceAudio:
    """A song, decoded once: raw float32 frames on disk at the rate and channel count they came with."""

    path: str
    """File of little-endian float32 samples, channels interleaved, no header: [T, C]."""
    sample_rate_hz: int
    """Frames a second."""
    channels: int
    """1 or 2."""
    frames: int
    """T, the number of frames."""
    encoding: str
    """Container and sample format as found, for example "WAV PCM_24" or "MP3"."""
    peak: float
    """Largest absolute sample value; full scale is 1."""


class StemEncoding(StrEnum):
    """How stems are written."""

    WAV_FLOAT32 = "wav-float32"
    WAV_PCM24 = "wav-pcm24"
    FLAC_PCM24 = "flac-pcm24"

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return ".flac" if self is StemEncoding.FLAC_PCM24 else ".wav"
