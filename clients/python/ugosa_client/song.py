"""Songs on the wire: the bytes of a file as they are, or an array as raw PCM."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from ugosa_client.errors import BadAudioError, BadInputError, reason_of
from ugosa_client.wire.ugosa.v1 import audio_pb2

CHUNK_BYTES = 512 * 1024  # the middle of what the protocol advises
LOSSLESS_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "AIFF")  # no decoder can doubt their number of frames
UNKNOWN_FRAMES = 2**63 - 1  # as libsndfile says of a FLAC whose header has no count

SoundPath = str | bytes
"""Path as libsndfile takes it; see `sound_path`."""


class Song(ABC):
    """Bytes that can be read from any position, and their format."""

    name: str
    """Name for messages."""
    size_bytes: int
    sha256: str

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty only at the end."""

    @abstractmethod
    def format(self) -> audio_pb2.AudioFormat:
        """Return the format of the bytes."""


SongSource = str | os.PathLike[str] | np.ndarray[Any, Any] | Song
"""Path of a file, an array, or what was opened of one."""


class FileSong(Song):
    """A file of any format; the server decodes it, so 16, 24 and 32 bits arrive as they are."""

    kind = "song"
    """Kind of thing that is sent, for messages."""
    _format = "encoded"  # field of AudioFormat

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name = self.path.name
        try:
            require_plain_file(self.path)
            self.size_bytes = self.path.stat().st_size
            with self.path.open("rb") as file:
                self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:  # a path with a zero byte in it is a ValueError
            raise BadInputError(f"cannot read the {self.kind} {self.path}: {reason_of(error)}") from error
        if self.size_bytes == 0:
            raise BadAudioError(f"the {self.kind} {self.path} is empty (0 bytes)")

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty only at the end."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def format(self) -> audio_pb2.AudioFormat:
        """Return the format of the bytes."""
        message = audio_pb2.AudioFormat()
        getattr(message, self._format).file_name = display_name(self.name)
        return message


class VideoFile(FileSong):
    """A video of the players: sent as a song is, but no song."""

    kind = _format = "video"


class AdapterFile(FileSong):
    """An adapter of a job: sent as a song is, but no song."""

    kind = _format = "adapter"


class ArraySong(Song):
    """Samples in memory: `[T]` or `[T, C]`, int16 or float, full scale of floats at +-1."""

    name = "array"

    def __init__(self, samples: np.ndarray[Any, Any], sample_rate_hz: int) -> None:
        if samples.ndim not in (1, 2) or samples.size == 0:
            raise BadAudioError(f"an array of shape {samples.shape} is not audio; give [T] or [T, C], T > 0")
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if channels > 2:
            raise BadAudioError(
                f"an array of shape {samples.shape} has {channels} channels, but a song has 1 or 2; "
                "frames come first: [T, C]"
            )
        if samples.dtype == np.int16:
            encoding = audio_pb2.PCM_ENCODING_S16LE
            self._bytes = samples.astype("<i2").tobytes()
        elif samples.dtype.kind == "f":
            encoding = audio_pb2.PCM_ENCODING_F32LE
            self._bytes = samples.astype("<f4").tobytes()
        else:
            raise BadAudioError(f"samples of type {samples.dtype} are not accepted; give int16 or float32")
        try:
            self._format = audio_pb2.AudioFormat(
                pcm=audio_pb2.PcmFormat(encoding=encoding, sample_rate_hz=sample_rate_hz, channels=channels)
            )
        except (TypeError, ValueError) as error:
            raise BadAudioError(f"sample_rate_hz is {sample_rate_hz!r}; give an int such as 44100") from error
        self.size_bytes = len(self._bytes)
        self.sha256 = hashlib.sha256(self._bytes).hexdigest()

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty only at the end."""
        return self._bytes[offset : offset + size]

    def format(self) -> audio_pb2.AudioFormat:
        """Return the format of the bytes."""
        return self._format


def open_song(song: SongSource, sample_rate_hz: int | None = None) -> Song:
    """Return the song of a path or an array; one that is open as it is.

    Raises:
        BadInputError: no such file, neither path nor array, an array without a rate, or a file with one.
    """
    if isinstance(song, Song):
        return song
    if isinstance(song, np.ndarray):
        if sample_rate_hz is None:
            raise BadInputError("an array has no rate of its own; pass sample_rate_hz")
        return ArraySong(song, sample_rate_hz)
    if not isinstance(song, str | os.PathLike):
        raise BadInputError(
            f"a song is the path of a file or a numpy array, not of type {type(song).__name__}"
        )
    if sample_rate_hz is not None:
        raise BadInputError(f"{os.fspath(song)} has its own rate; pass sample_rate_hz with arrays only")
    return FileSong(song)


def require_plain_file(path: Path) -> None:
    """Refuse what cannot be read from any position, and twice, as an upload that goes on after a break is.

    Raises:
        BadInputError: it is a folder, a pipe, a socket or a device.
        OSError: there is nothing.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    way_out = (
        "name one file in it, or take all of them with `ugosa batch`"
        if stat.S_ISDIR(mode)
        else "write what comes out of it to a file, and name that"
    )
    raise BadInputError(f"{path} is {kind}, but a song is read from a file; {way_out}")


def display_name(name: str) -> str:
    """Return a file name for protobuf: bytes that are not UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", errors="replace").replace("\N{REPLACEMENT CHARACTER}", "?")


def sound_path(path: str | os.PathLike[str]) -> SoundPath:
    """Return a path for libsndfile, whose binding takes a name that is no UTF-8 as bytes only."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def has_length(frames: int) -> bool:
    """Return whether libsndfile finds all frames of a file, so that it can be read here."""
    return 0 < frames < UNKNOWN_FRAMES


class SongLength(NamedTuple):
    """Length of a song."""

    sample_rate_hz: int
    frames: int
    channels: int


def lossless_length(path: str | os.PathLike[str]) -> SongLength | None:
    """Return the length of a lossless file, for checks before it is sent.

    None for every other file: decoders disagree on the padding of MP3 and its kin, and the server's word
    counts. So it does where a header was never finished, as by a recorder that crashed, or on a pipe.
    """
    try:
        info = soundfile.info(sound_path(path))
    except (soundfile.LibsndfileError, OSError):
        return None
    if info.format not in LOSSLESS_FORMATS or not has_length(info.frames):
        return None
    return SongLength(info.samplerate, info.frames, info.channels)
