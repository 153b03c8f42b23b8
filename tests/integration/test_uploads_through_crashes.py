"""Uploads as a state machine: whatever breaks, dies or comes twice, no acknowledged byte is lost or changed.

The model is what the client has and was told; the server's part is the real store, spool and
uploads. A crash throws the whole front away without a word, as kill -9 does, and a new one opens what is on
disk; bytes that were written but not acknowledged are damaged then, for nothing may depend on them.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import tempfile
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.helpers.front import PRINCIPAL, ROOMY, wav_bytes
from ugosa_server.config import UploadSettings
from ugosa_server.errors import CrcMismatchError, OffsetMismatchError, RequestIdConflictError
from ugosa_server.jobs.model import UploadFormat, UploadState
from ugosa_server.jobs.quotas import Quotas
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.jobs.upload_writer import UploadWriter
from ugosa_server.jobs.uploads import ReceivedChunk, Uploads

SONG = wav_bytes(seconds=0.1)  # 3244 bytes
LIMITS = UploadSettings(max_upload_bytes=2**20)


class UploadMachine(RuleBasedStateMachine):
    """One client, one song."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="ugosa-machine-"))
        self.store = None
        self.acknowledged = 0
        self.complete = False
        self.start()

    def teardown(self):
        self.store.close()
        self.loop.close()
        shutil.rmtree(self.folder)

    def start(self):
        self.store = AsyncStore(self.folder / "ugosa.sqlite")
        self.spool = Spool(self.folder, min_free_bytes=0)
        self.uploads = Uploads(self.store, self.spool, LIMITS, Quotas(ROOMY))

    def run(self, work):
        return self.loop.run_until_complete(work)

    def create(self, request_id="song"):
        return self.run(self.uploads.create(PRINCIPAL, request_id, UploadFormat(file_name="a.wav"), 0))

    async def sending(self, chunks):
        async with self.uploads.open(PRINCIPAL, self.upload_id) as opened:
            assert opened.committed_size >= self.acknowledged
            return await opened.write([ReceivedChunk(*chunk) for chunk in chunks])

    async def finishing(self, digest):
        async with self.uploads.open(PRINCIPAL, self.upload_id) as opened:
            return await opened.finish(len(SONG), digest)

    @initialize()
    def first_request(self):
        self.upload_id = self.create().upload_id

    @rule()
    def the_same_request_is_sent_again(self):
        assert self.create().upload_id == self.upload_id
        with pytest.raises(RequestIdConflictError):
            self.run(self.uploads.create(PRINCIPAL, "song", UploadFormat(file_name="b.wav"), 0))

    @precondition(lambda self: self.acknowledged < len(SONG))
    @rule(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4))
    def a_stream_goes_on_where_it_was(self, sizes):
        chunks, offset = [], self.acknowledged
        for size in sizes:
            data = SONG[offset : offset + size]
            chunks.append((offset, data, google_crc32c.value(data)))
            offset += len(data)
        self.acknowledged = self.run(self.sending(chunks))
        assert self.acknowledged == offset

    @precondition(lambda self: self.acknowledged < len(SONG))
    @rule(size=st.integers(1, 500), shift=st.sampled_from([-1, 1, 1000]))
    def a_chunk_after_a_good_one_is_in_the_wrong_place(self, size, shift):
        data = SONG[self.acknowledged : self.acknowledged + size]
        end = self.acknowledged + len(data)
        with pytest.raises(OffsetMismatchError) as refused:
            self.run(self.sending([(self.acknowledged, data, None), (end + shift, b"x", None)]))
        self.acknowledged = int(refused.value.metadata["committed_size"])
        assert self.acknowledged == end

    @precondition(lambda self: self.acknowledged < len(SONG))
    @rule()
    def a_chunk_is_damaged_on_its_way(self):
        with pytest.raises(CrcMismatchError):
            self.run(self.sending([(self.acknowledged, b"damaged", 0)]))

    @precondition(lambda self: not self.complete)
    @rule(seed=st.integers(0, 2**16))
    def the_server_is_killed(self, seed):
        self.store.close()
        self.damage_what_was_not_acknowledged(seed)
        self.start()

    @precondition(lambda self: self.acknowledged < len(SONG))
    @rule(size=st.integers(1, 900), seed=st.integers(0, 2**16))
    def the_server_is_killed_before_it_can_answer(self, size, seed):
        writer = UploadWriter(self.spool.bytes_path(self.upload_id), self.acknowledged)
        writer.append(self.acknowledged, SONG[self.acknowledged : self.acknowledged + size], None)
        writer.sync()
        writer.close()
        self.the_server_is_killed(seed)

    def damage_what_was_not_acknowledged(self, seed):
        path = self.spool.bytes_path(self.upload_id)
        tail = path.stat().st_size - self.acknowledged
        if tail > 0:
            content = path.read_bytes()[: self.acknowledged]
            path.write_bytes(content + random.Random(seed).randbytes(random.Random(seed).randint(0, tail)))

    @precondition(lambda self: self.acknowledged == len(SONG) and not self.complete)
    @rule()
    def all_is_there(self):
        upload = self.run(self.finishing(hashlib.sha256(SONG).hexdigest()))
        assert upload.state is UploadState.COMPLETE
        assert upload.sha256 == hashlib.sha256(SONG).hexdigest()
        self.complete = True

    @invariant()
    def what_was_acknowledged_is_there(self):
        if not hasattr(self, "upload_id"):
            return
        upload = self.run(self.uploads.get(PRINCIPAL, self.upload_id))
        assert upload.committed_size == (len(SONG) if self.complete else self.acknowledged)
        if not self.complete:
            assert (
                self.spool.bytes_path(self.upload_id).read_bytes()[: self.acknowledged]
                == (SONG[: self.acknowledged])
            )


TestUploadsThroughCrashes = UploadMachine.TestCase
TestUploadsThroughCrashes.settings = settings(
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
