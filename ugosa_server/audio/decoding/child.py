"""Decoding in a child process, as its parent sees it: the request, its limits, the call.

Free of decoders, so that the front process can ask.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from ugosa_server.audio.formats import RawPcm, SourceAudio
from ugosa_server.files import delete_unfinished
from ugosa_server.sandbox import ask_child

CHILD = "ugosa_server.audio.decoding.decode"
MAX_FRAMES = 6 * 3600 * 48_000  # six hours at 48 kHz


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds on the cost of a song."""

    max_frames: int = MAX_FRAMES
    """Longest song, in frames; > 0."""
    max_bytes: int = MAX_FRAMES * 2 * 4
    """Most bytes that may be written: the share of the disk that the song's owner has left."""
    min_free_bytes: int = 0
    """Free space that the disk of the result keeps."""


@dataclass(frozen=True)
class DecodeRequest:
    """One file to decode."""

    path: str
    """The uploaded bytes."""
    out_path: str
    """Destination of the decoded frames; written beside it, synced and renamed."""
    pcm: RawPcm | None = None
    """Set when the bytes are samples without a header; otherwise the bytes say what they are."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)


async def decode_in_child(request: DecodeRequest, timeout_s: float) -> SourceAudio:
    """Decode a file in a child process with limited memory and CPU time.

    Cancelling the call kills the child; nothing is left behind but a finished file.

    Raises:
        BadAudioError: the audio is unusable.
        DecoderCrashedError: decoding it crashed or took longer than `timeout_s`.
        DecoderStoppedError, DecoderFailedError: not the song's fault; see `ask_child`.
        UnsupportedEncodingError: the container, sample format, rate or channel count is not accepted.
        DiskFullError: no room for the decoded frames.
    """
    delete_unfinished(Path(request.out_path))  # of a server that was killed, and its decoder with it
    try:
        answer = await ask_child(
            CHILD, dataclasses.asdict(request), timeout_s, "the audio", "export it again, as WAV or FLAC"
        )
    except BaseException:
        delete_unfinished(Path(request.out_path))
        raise
    return SourceAudio(**answer["source"])
