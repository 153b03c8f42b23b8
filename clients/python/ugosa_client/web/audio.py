"""Audio for the page: files on the server and on this machine as bytes by range, and their peaks."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from ugosa_client.client import UgosaClient
from ugosa_client.errors import UgosaClientError
from ugosa_client.resources import Stem
from ugosa_client.song import SoundPath

PEAKS_PER_S = 100
READ_AHEAD_BYTES = 1 << 18
BLOCK_FRAMES = 1 << 16
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
WAVE_FORMAT_IEEE_FLOAT = 3
MAX_CHUNK_BYTES = 0xFFFFFFFF  # what a RIFF header can say; readers of longer files go on to their end


class StemReader(io.RawIOBase):
    """A stem on the server as a file that can be read from any place."""

    def __init__(self, client: UgosaClient, job_id: str, stem: Stem) -> None:
        self._client = client
        self._job_id = job_id
        self._stem = stem
        self._position = 0
        self._start, self._ahead = 0, b""  # bytes that were read, and where they begin
        self.error: UgosaClientError | None = None
        """Why the file ended early; libsndfile lets no exception through."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position in bytes and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stem.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as the file goes, and return the number of bytes."""
        # Filled whole: libsndfile takes fewer bytes than it asked for as the end.
        start, end = self._position, min(self._position + len(buffer), self._stem.size_bytes)
        if start >= end:
            return 0
        if start < self._start or end > self._start + len(self._ahead):
            last = max(end, start + READ_AHEAD_BYTES)
            try:
                ahead = b"".join(self._client.read_stem(self._job_id, self._stem, start, last))
            except UgosaClientError as error:
                self.error = error
                return 0
            self._start, self._ahead = start, ahead
        buffer[: end - start] = self._ahead[start - self._start : end - self._start]
        self._position = end
        return end - start


@contextmanager
def _opened(file: SoundPath | io.IOBase) -> Iterator[soundfile.SoundFile]:
    """Open audio; raise what a `StemReader` met in the place of what libsndfile makes of it."""
    try:
        with soundfile.SoundFile(file) as sound:
            yield sound
    except soundfile.LibsndfileError:
        if not (isinstance(file, StemReader) and file.error):
            raise
    if isinstance(file, StemReader) and file.error:
        raise file.error


class PlainWav:
    """Audio of whatever format as the bytes of a WAV file of float32.

    Nothing is written: bytes are decoded as they are asked for.
    """

    def __init__(self, open_file: Callable[[], SoundPath | io.IOBase]) -> None:
        """Look at a file; soundfile.LibsndfileError if libsndfile does not know its format.

        Args:
            open_file: Gives the file anew for every reader.
        """
        self._open_file = open_file
        with _opened(open_file()) as file:
            rate, channels, frames = file.samplerate, file.channels, file.frames
        self._frame_bytes = 4 * channels
        data_bytes = frames * self._frame_bytes
        self._header = WAV_HEADER.pack(
            b"RIFF",
            min(MAX_CHUNK_BYTES, data_bytes + WAV_HEADER.size - 8),
            b"WAVE",
            b"fmt ",
            16,
            WAVE_FORMAT_IEEE_FLOAT,
            channels,
            rate,
            rate * self._frame_bytes,
            self._frame_bytes,
            32,
            b"data",
            min(MAX_CHUNK_BYTES, data_bytes),
        )
        self.size_bytes = len(self._header) + data_bytes

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end`."""
        if start < len(self._header):
            yield self._header[start:end]
        first = max(0, start - len(self._header))
        last = max(0, end - len(self._header))
        with _opened(self._open_file()) as file:
            frame = first // self._frame_bytes
            file.seek(frame)
            while frame * self._frame_bytes < last:
                block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
                if not len(block):
                    return
                data = block.astype("<f4").tobytes()
                offset = frame * self._frame_bytes
                yield data[max(0, first - offset) : last - offset]
                frame += len(block)


def file_peaks(path: SoundPath) -> bytes:
    """Return the peaks of an audio file on this machine."""
    with soundfile.SoundFile(path) as file:
        return _peaks(file)


def stem_peaks(client: UgosaClient, job_id: str, stem: Stem) -> bytes:
    """Return the peaks of a stem on the server, read in constant memory."""
    with _opened(StemReader(client, job_id, stem)) as file:
        return _peaks(file)


def frames_per_peak(sample_rate_hz: int) -> int:
    """Return the number of frames that share one pair of peaks."""
    return max(1, sample_rate_hz // PEAKS_PER_S)


def _peaks(file: soundfile.SoundFile) -> bytes:
    """Return the least and the greatest sample of each `frames_per_peak` frames, as int8 in turn."""
    size = frames_per_peak(file.samplerate)
    parts: list[bytes] = []
    for block in file.blocks(BLOCK_FRAMES // size * size or size, dtype="float32", always_2d=True):
        starts = np.arange(0, len(block), size)
        low = np.minimum.reduceat(block.min(axis=1), starts)  # [P]
        high = np.maximum.reduceat(block.max(axis=1), starts)  # [P]
        pairs = np.stack([np.floor(low * 127), np.ceil(high * 127)], axis=1)  # [P, 2]
        parts.append(np.clip(pairs, -127, 127).astype(np.int8).tobytes())
    return b"".join(parts)
