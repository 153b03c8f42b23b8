"""Finished files as chunks of the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import google_crc32c

from ugosa_server.errors import NotFoundError, RangeError
from ugosa_server.jobs.job_queue import ResultFile
from ugosa_server.wire.ugosa.v1 import audio_pb2

CHUNK_BYTES = 256 * 1024


async def read_chunks(file: ResultFile, offset: int, length: int) -> AsyncIterator[audio_pb2.Chunk]:
    """Yield the bytes of a file from `offset`, at most `length` of them (0 = to the end).

    Raises:
        RangeError: the offset or length is negative or the offset lies past the end.
        NotFoundError: the file's job was deleted meanwhile.
    """
    if offset < 0 or length < 0 or offset > file.size_bytes:
        raise RangeError(f"offset {offset}, length {length}: the file has {file.size_bytes} bytes")
    end = min(offset + length, file.size_bytes) if length else file.size_bytes
    while offset < end:
        data = await asyncio.to_thread(_read, file.path, offset, min(CHUNK_BYTES, end - offset))
        yield audio_pb2.Chunk(offset=offset, data=data, crc32c=google_crc32c.value(data))
        offset += len(data)


def _read(path: Path, offset: int, length: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
    except FileNotFoundError:
        raise NotFoundError(f"{path.name} is gone: its job was deleted while it was read") from None
    if len(data) != length:
        raise RangeError(f"{path.name} ended at byte {offset + len(data)}")
    return data
