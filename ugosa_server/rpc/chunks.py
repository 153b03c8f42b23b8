"""Chunks of audio on the wire: received in batches that are synced to disk together, and read from files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import google_crc32c
from google.protobuf.message import Message

from ugosa_server.errors import NotFoundError, RangeError, ResultDamagedError, UploadIdleError
from ugosa_server.jobs.results import ResultFile, stamp_of
from ugosa_server.jobs.uploads import ReceivedChunk
from ugosa_server.wire.ugosa.v1 import audio_pb2

CHUNK_BYTES = 256 * 1024  # of a file that is sent
MAX_WAITING_BYTES = 2 * 1024 * 1024  # then one upload reads no further; flow control holds its client back

M = TypeVar("M", bound=Message)


async def first_message(messages: AsyncIterator[M], idle_timeout_s: float) -> M | None:
    """Return the first message of a call; None when there is none.

    Raises:
        UploadIdleError: it did not come within `idle_timeout_s` seconds.
    """
    async with _no_longer_than(idle_timeout_s):
        return await anext(aiter(messages), None)


@asynccontextmanager
async def _no_longer_than(idle_timeout_s: float) -> AsyncIterator[None]:
    # Not wait_for, which before Python 3.12 loses a cancel that comes together with its result: a client that
    # goes also ends its messages, and would seem to have sent all of its song.
    try:
        async with asyncio.timeout(idle_timeout_s):
            yield
    except TimeoutError:
        raise UploadIdleError(
            f"nothing has come for {idle_timeout_s:g} s; the stream ends, and the upload can be taken up"
            " again from its committed size"
        ) from None


def received_chunk(chunk: audio_pb2.Chunk) -> ReceivedChunk:
    """Return the domain form of a chunk."""
    return ReceivedChunk(chunk.offset, chunk.data, chunk.crc32c)


class BatchReader(Generic[M]):
    """Reads a call's messages ahead on a task of its own, and gives them in batches of all that wait."""

    def __init__(self, messages: AsyncIterator[M], idle_timeout_s: float) -> None:
        self._messages = messages
        self._idle_timeout_s = idle_timeout_s
        self._queue: asyncio.Queue[M | Exception | None] = asyncio.Queue()
        self._waiting_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def _read(self) -> None:
        try:
            async for message in self._messages:
                await self._queue.put(message)
                self._waiting_bytes += message.ByteSize()
                if self._waiting_bytes >= MAX_WAITING_BYTES:
                    self._has_room.clear()
                await self._has_room.wait()
        except Exception as error:
            await self._queue.put(error)
        else:
            await self._queue.put(None)

    async def batches(self) -> AsyncGenerator[list[M], None]:
        """Yield non-empty batches until the client half-closes, or the generator is closed.

        Raises:
            UploadIdleError: nothing came for `idle_timeout_s` seconds, while somebody waited for it here.
        """
        reader = asyncio.create_task(self._read())
        try:
            while True:
                async with _no_longer_than(self._idle_timeout_s):
                    items = [await self._queue.get()]
                while not self._queue.empty():
                    items.append(self._queue.get_nowait())
                self._waiting_bytes = 0
                self._has_room.set()
                if isinstance(items[-1], Exception):
                    raise items[-1]
                if batch := [item for item in items if isinstance(item, Message)]:
                    yield batch
                if items[-1] is None:
                    return
        finally:
            reader.cancel()


async def read_chunks(file: ResultFile, offset: int, length: int) -> AsyncIterator[audio_pb2.Chunk]:
    """Yield the bytes of a file from `offset`, at most `length` of them (0 = to the end).

    Raises:
        RangeError: the offset or length is negative or the offset lies past the end.
        NotFoundError: the file's job was deleted meanwhile, or another preview has taken its place.
    """
    if offset < 0 or length < 0 or offset > file.size_bytes:
        raise RangeError(f"offset {offset}, length {length}: the file has {file.size_bytes} bytes")
    end = min(offset + length, file.size_bytes) if length else file.size_bytes
    while offset < end:
        data = await asyncio.to_thread(_read, file, offset, min(CHUNK_BYTES, end - offset))
        yield audio_pb2.Chunk(offset=offset, data=data, crc32c=google_crc32c.value(data))
        offset += len(data)


def _read(file: ResultFile, offset: int, length: int) -> bytes:
    path = file.path
    try:
        with path.open("rb") as stream:
            if file.stamp not in (None, stamp_of(os.fstat(stream.fileno()))):
                raise NotFoundError(f"a newer preview came while {path.name} was read; read that one")
            stream.seek(offset)
            data = stream.read(length)
    except FileNotFoundError:
        raise NotFoundError(f"{path.name} is gone: its job was deleted while it was read") from None
    if len(data) != length:
        raise ResultDamagedError(
            f"{path.name} ended at byte {offset + len(data)}; delete its job, and make it anew"
        )
    return data
