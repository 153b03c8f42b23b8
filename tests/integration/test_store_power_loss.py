"""Acknowledged means durable: what the store has said is there after a power failure at any moment.

kill -9 cannot show this, because the system keeps what a killed process wrote; here everything that was not
synced is at the mercy of chance.
"""

import contextlib

import apsw
import pytest

from tests.helpers.lossy_vfs import LossyVfs
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import ConfigError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import JobDraft, UploadFormat
from ugosa_server.jobs.runs import JobOptions, RunNotice, RunSucceeded
from ugosa_server.jobs.store import Store

AUDIO = SourceAudio("/spool/audio.f32", 48000, 2, 96000, "WAV PCM_24", 0.5)
NAME = "ugosa.sqlite"


def history(store):
    """Do what a server does, yielding after every acknowledgement a check that it still holds."""
    for number in range(3):
        upload_id, job_id = f"u{number}", f"j{number}"
        store.uploads.create(upload_id, "me", upload_id, "d", UploadFormat())
        yield lambda s, u=upload_id: s.uploads.get("me", u)
        for size in (1000, 2000):
            store.uploads.set_committed_size(upload_id, size)
            yield lambda s, u=upload_id, size=size: s.uploads.get("me", u).committed_size >= size or fail(u)
        store.uploads.complete(upload_id, "ab", AUDIO)
        yield lambda s, u=upload_id: s.uploads.get("me", u).audio == AUDIO or fail(u)
        upload = store.uploads.get("me", upload_id)
        store.jobs.create(job_id, job_id, "d", JobDraft(upload, JobOptions("tiny"), ()))
        yield lambda s, j=job_id: s.jobs.get("me", j)
        store.jobs.claim_next()
        yield lambda s, j=job_id: s.jobs.get("me", j).attempt >= 1 or fail(j)
        store.jobs.append_event(job_id, 1, RunNotice("NOTE", "words"))
        yield lambda s, j=job_id: len(s.events.after(j, 0, 9)) >= 3 or fail(j)
        store.jobs.end(job_id, 1, RunSucceeded((), "", ""))
        yield lambda s, j=job_id: s.jobs.get("me", j).state is JobState.SUCCEEDED or fail(j)


def fail(what):
    raise AssertionError(f"{what}: acknowledged, and lost")


def check_gapless(store):
    for job_id in store.jobs.all_ids():
        seqs = [event.seq for event in store.events.after(job_id, 0, 100)]
        assert seqs == list(range(1, store.jobs.get("me", job_id).last_seq + 1))


@pytest.fixture
def lossy(request):
    vfs = LossyVfs(request.node.name[:60])
    yield vfs
    vfs.unregister()


def test_power_failure_at_any_moment_loses_nothing_acknowledged(tmp_path, lossy):
    acknowledged = []  # (operations done by then, check)
    store = Store(tmp_path / NAME, lossy.name)
    for check in history(store):
        acknowledged.append((len(lossy.operations), check))
    failures = range(acknowledged[0][0], len(lossy.operations) + 1)
    for moment in failures:
        folder = tmp_path / f"after {moment}"
        folder.mkdir()
        for name, content in lossy.left_by_power_failure(moment, seed=moment).items():
            (folder / name).write_bytes(content)
        survivor = Store(folder / NAME)
        for operations, check in acknowledged:
            if operations <= moment:
                check(survivor)
        check_gapless(survivor)
        survivor.close()
    store.close()
    assert len(failures) > 60


def test_an_io_error_at_any_moment_is_an_error_and_tears_nothing(tmp_path, lossy):
    reference = Store(tmp_path / NAME, lossy.name)
    for _ in history(reference):
        pass
    total = len(lossy.operations)
    reference.close()
    for fail_at in range(0, total, 3):
        vfs = LossyVfs(f"faulty {fail_at}", fail_at)
        path = tmp_path / f"fault {fail_at}" / NAME
        path.parent.mkdir()
        checks = []
        with contextlib.suppress(apsw.Error, ConfigError), contextlib.closing(Store(path, vfs.name)) as store:
            for check in history(store):
                checks.append(check)
        survivor = Store(path)
        for check in checks:
            check(survivor)
        check_gapless(survivor)
        survivor.close()
        vfs.unregister()
