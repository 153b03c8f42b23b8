"""Write stems, and read them back, block by block.

A stem exists whole or not at all: it is written beside its name, synced, renamed, and its directory synced.
The same samples always give the same bytes, so that runs can be compared by their hashes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.audio.formats import StemEncoding, check_stem_rate
from ugosa_server.audio.frames import BLOCK_FRAMES
from ugosa_server.errors import DiskFullError
from ugosa_server.files import publish, sha256_of_file, tmp_path_of

PCM24_STEPS = 2**23  # steps of a 24-bit sample from 0 to full scale
RIFF_MAX_BYTES = 2**32 - 2**20  # samples; the sizes in a RIFF header are 32 bits, and it needs room
HEADER_BYTES = 4096  # the chunks that libsndfile puts before the samples end well before this


@dataclass(frozen=True)
class WrittenAudio:
    """A finished audio file."""

    frames: int
    size_bytes: int
    sha256: str
    """Hex digest of the file."""


class StemWriter:
    """Writer of one stem; leaving the `with` block without `finish()` leaves no file.

        with StemWriter(path, StemEncoding.WAV_FLOAT32, 44_100, channels=2, frames=len(song)) as writer:
            for block in blocks:  # [n, C]
                writer.write(block)
            written = writer.finish()

    The 24-bit encodings hold multiples of 2^-23 in [-1, 1 - 2^-23] exactly; other values are rounded to the
    nearest step and clipped to that range.
    """

    def __init__(
        self, path: str | Path, encoding: StemEncoding, sample_rate_hz: int, channels: int, frames: int
    ) -> None:
        """Begin a file of `frames` frames; the number decides between RIFF and RF64 (above 4 GiB).

        Raises:
            BadOptionError: the encoding does not hold the rate.
            DiskFullError: the disk does not take it.
        """
        check_stem_rate(encoding, sample_rate_hz)
        self._path = Path(path)
        self._tmp = tmp_path_of(self._path)
        self._encoding = encoding
        self._frames = frames
        self._written_frames = 0
        self._finished = False
        is_float = encoding is StemEncoding.WAV_FLOAT32
        is_big = frames * channels * (4 if is_float else 3) > RIFF_MAX_BYTES
        self.container = "FLAC" if encoding is StemEncoding.FLAC_PCM24 else "RF64" if is_big else "WAV"
        with _refusal_explained():
            self._file = soundfile.SoundFile(
                self._tmp,
                "w",
                sample_rate_hz,
                channels,
                subtype="FLOAT" if is_float else "PCM_24",
                format=self.container,
            )

    def write(self, block: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Append frames `[n, C]`.

        Raises:
            DiskFullError: the disk does not take them.
        """
        self._written_frames += len(block)
        if self._encoding is StemEncoding.WAV_FLOAT32:
            samples: NDArray[np.generic] = np.ascontiguousarray(block, dtype=np.float32)
        else:
            steps = np.rint(block * np.float64(PCM24_STEPS)).clip(-PCM24_STEPS, PCM24_STEPS - 1)
            # Integers pass libsndfile unscaled: it keeps the upper 24 bits.
            samples = np.ascontiguousarray(steps.astype(np.int32) << 8)
        with _refusal_explained():
            self._file.write(samples)

    def finish(self) -> WrittenAudio:
        """Make the file durable under its name and return its digest."""
        if self._written_frames != self._frames:
            raise ValueError(
                f"{self._path.name} was begun with {self._frames} frames, but {self._written_frames} were "
                "written"
            )
        with _refusal_explained():
            self._file.close()
        if self._encoding is StemEncoding.WAV_FLOAT32:
            _clear_peak_time(self._tmp)
        written = WrittenAudio(self._frames, self._tmp.stat().st_size, sha256_of_file(self._tmp))
        publish(self._tmp, self._path)
        self._finished = True
        return written

    def __enter__(self) -> StemWriter:
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._finished:
            with suppress(soundfile.LibsndfileError):
                self._file.close()
            self._tmp.unlink(missing_ok=True)


@contextmanager
def _refusal_explained() -> Iterator[None]:
    """Raise DiskFullError where libsndfile says only that the system has refused ("System error.")."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise DiskFullError(
            "a stem could not be written: the server's disk is full, or fails; delete old jobs or free some "
            "space, then try again"
        ) from error


def read_blocks(path: str | Path) -> Generator[NDArray[np.float32], None, None]:
    """Yield the `[n, C]` blocks of a stem, BLOCK_FRAMES a block; its samples are exact in float32."""
    with soundfile.SoundFile(path) as file:
        while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            yield block


def _clear_peak_time(path: Path) -> None:
    """Set the time of writing, which libsndfile keeps in a float file's PEAK chunk, to zero.

    PEAK chunk: "PEAK", size, version, time (four bytes each), then the peaks.
    """
    with path.open("r+b") as file:
        header = file.read(HEADER_BYTES)
        at = header.find(b"PEAK", 0, header.find(b"data"))
        if at >= 0:
            file.seek(at + 12)
            file.write(bytes(4))
