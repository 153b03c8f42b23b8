"""Uploads: a stream that is cut off in the middle of a write harms neither its file nor another one."""

import asyncio
import errno
import os
import threading

import pytest

from tests.helpers.front import PRINCIPAL, ROOMY, wav_bytes
from ugosa_server.config import UploadSettings
from ugosa_server.errors import NotFoundError, UploadBusyError
from ugosa_server.jobs.model import UploadFormat, UploadState
from ugosa_server.jobs.quotas import Quotas
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.jobs.uploads import ReceivedChunk, Uploads

SONG = wav_bytes(seconds=0.1)


@pytest.fixture
def uploads(tmp_path):
    store = AsyncStore(tmp_path / "ugosa.sqlite")
    yield Uploads(store, Spool(tmp_path, 0), UploadSettings(max_upload_bytes=2**20), Quotas(ROOMY))
    store.close()


class SlowDisk:
    """`os.pwrite`, whose first write waits for a sign; it counts writes to descriptors that are closed."""

    def __init__(self):
        self.writing, self.go_on = threading.Event(), threading.Event()
        self.lost_writes = 0
        self._pwrite = os.pwrite

    def pwrite(self, descriptor, data, offset):
        self.writing.set()
        self.go_on.wait(60)
        try:
            return self._pwrite(descriptor, data, offset)
        except OSError:
            self.lost_writes += 1
            raise


@pytest.fixture
def slow_disk(monkeypatch):
    disk = SlowDisk()
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    return disk


def test_a_cancelled_stream_keeps_its_file_until_it_has_written(uploads, slow_disk):
    async def scene():
        upload = await uploads.create(PRINCIPAL, "song", UploadFormat(file_name="a.wav"), 0)

        async def send(*, finishes):
            async with uploads.open(PRINCIPAL, upload.upload_id) as opened:
                await opened.write([ReceivedChunk(0, SONG[:100], None), ReceivedChunk(100, SONG[100:], None)])
                return await opened.finish(len(SONG), "") if finishes else None

        first = asyncio.create_task(send(finishes=False))
        await asyncio.to_thread(slow_disk.writing.wait)
        for _ in range(2):
            first.cancel()
            await asyncio.sleep(0)
        with pytest.raises(UploadBusyError):
            await send(finishes=True)
        slow_disk.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert slow_disk.lost_writes == 0
        assert (await send(finishes=True)).state is UploadState.COMPLETE

    asyncio.run(scene())


def test_an_upload_that_is_deleted_takes_no_stream(uploads):
    async def scene():
        upload = await uploads.create(PRINCIPAL, "song", UploadFormat(file_name="a.wav"), 0)

        async def send():
            async with uploads.open(PRINCIPAL, upload.upload_id) as opened:
                await opened.write([ReceivedChunk(0, SONG, None)])

        sent, deleted = await asyncio.gather(
            send(), uploads.delete(PRINCIPAL, upload.upload_id), return_exceptions=True
        )
        assert deleted is None
        assert isinstance(sent, NotFoundError)
        assert not uploads.spool.upload_dir(upload.upload_id).exists()

    asyncio.run(scene())


def test_an_upload_that_is_deleted_meanwhile_is_made_anew(uploads, monkeypatch):
    async def scene():
        loop = asyncio.get_running_loop()
        words = (PRINCIPAL, "song", UploadFormat(file_name="a.wav"), 0)
        first = await uploads.create(*words)
        async with uploads.open(PRINCIPAL, first.upload_id) as opened:
            await opened.write([ReceivedChunk(0, SONG, None)])
            await opened.finish(len(SONG), "")
        is_whole = uploads.spool.is_whole

        def delete_and_look(upload):
            deleting = uploads.delete(PRINCIPAL, upload.upload_id)
            asyncio.run_coroutine_threadsafe(deleting, loop).result()
            return is_whole(upload)

        monkeypatch.setattr(uploads.spool, "is_whole", delete_and_look)
        again = await uploads.create(*words)
        assert again.upload_id != first.upload_id
        assert again.state is UploadState.RECEIVING

    asyncio.run(scene())


def test_a_resumed_upload_keeps_its_bytes_whatever_the_disk_does(uploads, monkeypatch):
    async def scene():
        words = (PRINCIPAL, "song", UploadFormat(file_name="a.wav"), 0)
        upload = await uploads.create(*words)
        async with uploads.open(PRINCIPAL, upload.upload_id) as opened:
            await opened.write([ReceivedChunk(0, SONG, None)])

        def fail(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr("ugosa_server.jobs.spool.sync", fail)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            await uploads.create(*words)
        assert uploads.spool.bytes_path(upload.upload_id).read_bytes() == SONG

    asyncio.run(scene())
