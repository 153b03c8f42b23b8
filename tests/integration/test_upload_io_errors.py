"""An I/O error at any file operation of an upload is that call's error; the next goes on, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os

import pytest

from tests.helpers.front import PRINCIPAL, ROOMY, wav_bytes
from ugosa_server.config import UploadSettings
from ugosa_server.jobs.model import UploadFormat
from ugosa_server.jobs.quotas import Quotas
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.jobs.uploads import ReceivedChunk, Uploads

SONG = wav_bytes(seconds=0.1)
SHA256 = hashlib.sha256(SONG).hexdigest()
OPERATIONS = ("open", "mkdir", "pwrite", "ftruncate", "fdatasync", "fsync")


class FaultyDisk:
    """Fails the n-th operation, counted from 0; None fails none."""

    def __init__(self, monkeypatch, folder, fail_at):
        self.count = 0
        self._fail_at = fail_at
        self._folder = str(folder)
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, operation):
        def call(where, *arguments, **options):
            if isinstance(where, int) or os.fspath(where).startswith(self._folder):
                self.count += 1
                if self.count - 1 == self._fail_at:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            return operation(where, *arguments, **options)

        return call


async def send(uploads, acknowledged):
    """Create or take up the upload and send the rest in two pieces; note what was acknowledged."""
    upload = await uploads.create(PRINCIPAL, "song", UploadFormat(file_name="a.wav"), 0)
    async with uploads.open(PRINCIPAL, upload.upload_id) as opened:
        assert opened.committed_size >= max(acknowledged, default=0)
        while opened.committed_size < len(SONG):
            start = opened.committed_size
            acknowledged.append(await opened.write([ReceivedChunk(start, SONG[start : start + 2000], None)]))
        return await opened.finish(len(SONG), SHA256)


@contextlib.contextmanager
def uploads_in(folder):
    store = AsyncStore(folder / "ugosa.sqlite")
    spool = Spool(folder, min_free_bytes=0)
    yield Uploads(store, spool, UploadSettings(max_upload_bytes=2**20), Quotas(ROOMY))
    store.close()


def send_on_faulty_disk(folder, fail_at):
    """Send, again after an error; return how many operations that took and whether one failed."""
    folder.mkdir()
    with uploads_in(folder) as uploads, pytest.MonkeyPatch.context() as patch:
        disk = FaultyDisk(patch, folder, fail_at)
        acknowledged = []
        failed = False
        try:
            upload = asyncio.run(send(uploads, acknowledged))
        except OSError:
            failed = True
            upload = asyncio.run(send(uploads, acknowledged))
        assert upload.sha256 == SHA256
        assert os.listdir(folder / "uploads") == [upload.upload_id], "nothing is left of what failed"
        assert os.listdir(folder / "uploads" / upload.upload_id) == ["audio.f32"]
        return disk.count, failed


def test_an_io_error_at_any_operation_fails_that_call_only(tmp_path):
    operations, failed = send_on_faulty_disk(tmp_path / "sound", None)
    assert operations >= 8
    assert not failed
    for fail_at in range(operations):
        _, failed = send_on_faulty_disk(tmp_path / f"fault {fail_at}", fail_at)
        assert failed, f"operation {fail_at} failed unnoticed"
