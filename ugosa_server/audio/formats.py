"""What audio is called inside the server: raw uploads, decoded songs, encodings of stems."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PcmEncoding(StrEnum):
    """Layout of raw samples; channels are interleaved, bytes little-endian."""

    S16LE = "s16le"
    S24LE = "s24le"
    F32LE = "f32le"

    @property
    def sample_bytes(self) -> int:
        """Bytes a sample takes."""
        return {PcmEncoding.S16LE: 2, PcmEncoding.S24LE: 3, PcmEncoding.F32LE: 4}[self]


@dataclass(frozen=True)
class RawPcm:
    """Samples without a header."""

    encoding: PcmEncoding
    """Layout of a sample."""
    sample_rate_hz: int
    """Frames a second."""
    channels: int
    """1 or 2."""


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
