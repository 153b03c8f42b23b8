"""Chunks of audio: received in bounded memory, and read from a file that may go meanwhile."""

import asyncio

import pytest

from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.results import ResultFile, stamp_of
from ugosa_server.jobs.upload_writer import MAX_CHUNK_BYTES
from ugosa_server.rpc.chunks import CHUNK_BYTES, MAX_WAITING_BYTES, BatchReader, read_chunks
from ugosa_server.wire.ugosa.v1 import audio_pb2

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("chunk_bytes", [1000, 256 * 1024, MAX_CHUNK_BYTES])
async def test_batch_reader_holds_at_most_a_window(chunk_bytes):
    count = 3000 if chunk_bytes == 1000 else 30
    sent = [audio_pb2.Chunk(offset=n * chunk_bytes, data=bytes(chunk_bytes)) for n in range(count)]
    read = []

    async def messages():
        for chunk in sent:
            read.append(chunk)
            yield chunk

    batches = []
    async for batch in BatchReader(messages(), idle_timeout_s=10).batches():
        batches.append(batch)
        await asyncio.sleep(0)  # the disk is busy
        waiting = read[sum(len(taken) for taken in batches) :]
        assert sum(chunk.ByteSize() for chunk in waiting) < MAX_WAITING_BYTES + sent[0].ByteSize() + 10
    assert [chunk for batch in batches for chunk in batch] == sent
    assert len(batches) > 1


async def test_file_deleted_while_it_is_read_is_not_found(tmp_path):
    path = tmp_path / "stem-0.wav"
    path.write_bytes(bytes(2 * CHUNK_BYTES))
    chunks = read_chunks(ResultFile(path, 2 * CHUNK_BYTES), 0, 0)
    assert (await anext(chunks)).offset == 0
    path.unlink()
    with pytest.raises(NotFoundError, match="deleted while it was read"):
        await anext(chunks)


async def test_a_preview_is_not_joined_to_the_one_after_it(tmp_path):
    path, newer = tmp_path / "preview-0-0.flac", tmp_path / "newer"
    path.write_bytes(bytes(2 * CHUNK_BYTES))
    newer.write_bytes(b"\1" * 2 * CHUNK_BYTES)
    status = path.stat()
    chunks = read_chunks(ResultFile(path, status.st_size, stamp_of(status)), 0, 0)
    assert (await anext(chunks)).data == bytes(CHUNK_BYTES)
    newer.replace(path)
    with pytest.raises(NotFoundError, match="a newer preview came"):
        await anext(chunks)
