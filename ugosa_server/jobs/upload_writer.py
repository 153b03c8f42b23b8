"""One stream of bytes into an upload's file: checked, ordered, and durable before it is acknowledged."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import google_crc32c

from ugosa_server.errors import BadOptionError, CrcMismatchError, OffsetMismatchError, Sha256MismatchError
from ugosa_server.files import sha256_of_file

MAX_CHUNK_BYTES = 3 * 1024 * 1024


class UploadWriter:
    """Appends to the file of one upload from its committed size on. Blocking; used off the event loop."""

    def __init__(self, path: Path, committed_size: int) -> None:
        self._path = path
        self.size = committed_size
        """Bytes so far, those included that are not durable yet."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, committed_size)  # bytes that no acknowledgement covers are not trusted
        # None: hashed from the file at the end
        self._hash = hashlib.sha256() if committed_size == 0 else None

    def append(self, offset: int, data: bytes, crc32c: int | None) -> None:
        """Write a chunk behind the last one; not durable before `sync`.

        What a refusal names as committed is durable after the `sync` that is to follow it.

        Raises:
            OffsetMismatchError: the chunk does not start where the bytes end.
            CrcMismatchError: its bytes are not what its checksum says.
            BadOptionError: it is larger than MAX_CHUNK_BYTES.
        """
        if offset != self.size:
            raise OffsetMismatchError(
                f"chunk starts at byte {offset}, but byte {self.size} is next",
                committed_size=self.size,
            )
        if len(data) > MAX_CHUNK_BYTES:
            raise BadOptionError(f"chunk of {len(data)} bytes; at most {MAX_CHUNK_BYTES} are taken at once")
        if crc32c is not None and google_crc32c.value(data) != crc32c:
            advice = "send it again" if crc32c else "state the CRC-32C (Castagnoli) of its bytes"
            raise CrcMismatchError(
                f"chunk at byte {offset} has crc32c {google_crc32c.value(data):#010x}, not {crc32c:#010x};"
                f" {advice}",
                committed_size=self.size,
            )
        written = 0
        while written < len(data):  # a disk that fills up takes a part first and refuses only the rest
            written += os.pwrite(self._descriptor, data[written:], offset + written)
        if self._hash is not None:
            self._hash.update(data)
        self.size += len(data)

    def sync(self) -> int:
        """Make all appended bytes durable and return their number."""
        os.fdatasync(self._descriptor)
        return self.size

    def verify(self, size_bytes: int, sha256: str) -> str:
        """Check the whole against what the client says, and return its sha256.

        Raises:
            OffsetMismatchError: bytes are missing.
            Sha256MismatchError: the bytes are others; the upload must be made anew.
        """
        if size_bytes != self.size:
            raise OffsetMismatchError(
                f"finish says {size_bytes} bytes, but {self.size} have arrived",
                committed_size=self.size,
            )
        actual = self._hash.hexdigest() if self._hash else sha256_of_file(self._path)
        if sha256 and sha256.lower() != actual:
            raise Sha256MismatchError(
                f"the received bytes have sha256 {actual}, not {sha256}; delete this upload and send it again"
            )
        return actual

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
