"""What is asked of the decoder. Free of decoders, so that the front process can ask."""

from __future__ import annotations

from dataclasses import dataclass, field

from ugosa_server.audio.formats import RawPcm

MAX_FRAMES = 6 * 3600 * 48_000  # six hours at 48 kHz


@dataclass(frozen=True)
class DecodeLimits:
    """What a song may cost."""

    max_frames: int = MAX_FRAMES
    """Longest song, in frames; > 0."""
    max_bytes: int = MAX_FRAMES * 2 * 4
    """What may be written, in bytes: the share of the disk that the song's owner has left."""
    min_free_bytes: int = 0
    """Free space that the disk of the result keeps."""


@dataclass(frozen=True)
class DecodeRequest:
    """One file to decode."""

    path: str
    """The uploaded bytes."""
    out_path: str
    """Where the decoded frames go; written as `out_path + ".tmp"`, synced and renamed."""
    pcm: RawPcm | None = None
    """Set when the bytes are samples without a header; otherwise the bytes say what they are."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    """What the song may cost."""
