"""Finished files as chunks, also while their job goes."""

import asyncio

import pytest

from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.queue import ResultFile
from ugosa_server.rpc.chunks import CHUNK_BYTES, read_chunks


def test_a_file_that_is_deleted_while_it_is_read_is_said_to_be_gone(tmp_path):
    path = tmp_path / "stem-0.wav"
    path.write_bytes(bytes(2 * CHUNK_BYTES))

    async def scene():
        chunks = read_chunks(ResultFile(path, 2 * CHUNK_BYTES), 0, 0)
        assert (await anext(chunks)).offset == 0
        path.unlink()
        with pytest.raises(NotFoundError, match="deleted while it was read"):
            await anext(chunks)

    asyncio.run(scene())
