"""An uploaded file, and files put together of parts of it: a mended header before its samples, say."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import BinaryIO

Span = tuple[int, int]
"""Bytes [start, stop) of an uploaded file."""

BLOCK_BYTES = 65_536


class SongFile:
    """The bytes of an uploaded file, read where they are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size_bytes = os.fstat(file.fileno()).st_size

    def read(self, position: int, n_bytes: int) -> bytes:
        """Return `n_bytes` bytes from a position on, fewer where the file ends."""
        if position >= self.size_bytes:
            return b""
        self._file.seek(position)
        return self._file.read(min(n_bytes, self.size_bytes - position))

    def blocks(self, position: int) -> Iterator[bytes]:
        """Yield all that follows a position, in blocks."""
        while block := self.read(position, BLOCK_BYTES):
            yield block
            position += len(block)

    def find(self, magic: bytes, position: int) -> int | None:
        """Return where some bytes first occur from a position on; None if they do not."""
        kept = b""
        for block in self.blocks(position):
            looked_at = kept + block
            if (at := looked_at.find(magic)) >= 0:
                return position - len(kept) + at
            kept = looked_at[1 - len(magic) :]
            position += len(block)
        return None


class PartsFile(io.RawIOBase):
    """Read-only file of byte strings and spans of an uploaded file, one after the other."""

    def __init__(self, song: SongFile, parts: Iterable[bytes | Span]) -> None:
        self._song = song
        self._parts = [part for part in parts if _size(part)]
        self._ends = list(accumulate(map(_size, self._parts)))
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    seekable = readable

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, as `io.IOBase.seek` does."""
        size = self._ends[-1] if self._ends else 0
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} lies before the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as the file goes; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            number = bisect_right(self._ends, self._position)
            if number == len(self._parts):
                break
            part = self._parts[number]
            left = self._ends[number] - self._position
            count = min(len(view) - done, left)
            if isinstance(part, bytes):
                data = part[len(part) - left :][:count]
            else:
                data = self._song.read(part[1] - left, count)
            view[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
            if len(data) < count:  # the file was cut meanwhile
                break
        return done


def _size(part: bytes | Span) -> int:
    return len(part) if isinstance(part, bytes) else part[1] - part[0]
