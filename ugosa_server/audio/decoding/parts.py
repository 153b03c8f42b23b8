"""A file put together of parts of another: a mended header before its samples, a song without its tags."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import BinaryIO

Span = tuple[int, int]
"""Bytes [start, stop) of the file underneath."""


class PartsFile(io.RawIOBase):
    """Read-only file of byte strings and spans of another file, one after the other."""

    def __init__(self, file: BinaryIO, parts: Iterable[bytes | Span]) -> None:
        """Take the file underneath, which must be seekable, and the parts; nothing is read yet."""
        self._file = file
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
                self._file.seek(part[1] - left)
                data = self._file.read(count)
            view[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
            if len(data) < count:  # the file was cut meanwhile
                break
        return done


def _size(part: bytes | Span) -> int:
    return len(part) if isinstance(part, bytes) else part[1] - part[0]
