"""What has arrived of an upload waits in bounded memory, however large its chunks are."""

import asyncio

import pytest

from ugosa_server.jobs.upload_writer import MAX_CHUNK_BYTES
from ugosa_server.rpc.chunks import MAX_WAITING_BYTES, BatchReader
from ugosa_server.wire.ugosa.v1 import audio_pb2

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("chunk_bytes", [1000, 256 * 1024, MAX_CHUNK_BYTES])
async def test_no_more_is_read_than_a_window_and_the_rest_when_that_is_taken(chunk_bytes):
    sent = [audio_pb2.Chunk(offset=n * chunk_bytes, data=bytes(chunk_bytes)) for n in range(3000)]
    if chunk_bytes > 1000:
        del sent[30:]
    read = []

    async def messages():
        for chunk in sent:
            read.append(chunk)
            yield chunk

    reader = BatchReader(messages(), idle_timeout_s=10)
    try:
        batches = []
        async for batch in reader.batches():
            batches.append(batch)
            await asyncio.sleep(0)  # the disk is busy
            waiting = read[sum(len(taken) for taken in batches) :]
            assert sum(chunk.ByteSize() for chunk in waiting) < MAX_WAITING_BYTES + sent[0].ByteSize() + 10
    finally:
        reader.close()
    assert [chunk for batch in batches for chunk in batch] == sent
    assert len(batches) > 1
