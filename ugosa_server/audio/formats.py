"""Types of audio inside the server: raw uploads, decoded songs, encodings of stems; and levels.

Levels in dBFS: decibels relative to full scale, where a sample of absolute value 1 is 0 dBFS.

Digital silence is minus infinity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.errors import BadOptionError

MAX_FLAC_RATE_HZ = 65_535  # of any rate; RFC 9639, 9.1.2: above it a frame says it in tens


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
    sha256: str = ""
    """Hex, of the file; empty where none was taken."""


class StemEncoding(StrEnum):
    """Encodings of stems."""

    WAV_FLOAT32 = "wav-float32"
    WAV_PCM24 = "wav-pcm24"
    FLAC_PCM24 = "flac-pcm24"

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return ".flac" if self is StemEncoding.FLAC_PCM24 else ".wav"


def check_stem_rate(encoding: StemEncoding, sample_rate_hz: int) -> None:
    """Make sure that stems of a song of this rate can have an encoding.

    Raises:
        BadOptionError: they cannot.
    """
    if encoding is StemEncoding.FLAC_PCM24 and sample_rate_hz > MAX_FLAC_RATE_HZ and sample_rate_hz % 10:
        raise BadOptionError(
            f"the song has {sample_rate_hz} Hz, but above {MAX_FLAC_RATE_HZ} Hz FLAC holds multiples of 10"
            f" alone; the stem_encoding {StemEncoding.WAV_PCM24.value} holds every rate"
        )


def peak_dbfs(peak: float) -> float:
    """Level of the largest absolute sample value: 20 log10(peak)."""
    if peak < 0:
        raise ValueError(f"a peak is an absolute value, got {peak}")
    return 20.0 * math.log10(peak) if peak > 0 else -math.inf


def energy_dbfs(mean_square: float, floor_dbfs: float = -math.inf) -> float:
    """Level of a mean squared sample value: 10 log10(mean_square), at least `floor_dbfs`.

    A square wave at full scale is 0 dBFS, a sine at full scale -3.01 dBFS.
    """
    if mean_square < 0:
        raise ValueError(f"a mean square is not negative, got {mean_square}")
    return max(floor_dbfs, 10.0 * math.log10(mean_square)) if mean_square > 0 else floor_dbfs


def amplitude(level_dbfs: float) -> float:
    """Absolute sample value of a peak level: the inverse of `peak_dbfs`."""
    return math.pow(10.0, level_dbfs / 20.0)
