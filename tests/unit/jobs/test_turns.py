"""Principals take turns; a long queue of one does not hold another up; positions say what will happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import JobDraft, UploadFormat
from ugosa_server.jobs.runs import JobOptions, RunNotice
from ugosa_server.jobs.store import Store

AUDIO = SourceAudio("/spool/audio.f32", 48000, 2, 96000, "WAV PCM_24", 0.5)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "ugosa.sqlite")
    yield store
    store.close()


def queue(store, principal, job_id):
    upload_id = f"upload of {job_id}"
    store.uploads.create(upload_id, principal, upload_id, "digest", UploadFormat())
    store.uploads.complete(upload_id, "ab" * 32, AUDIO)
    draft = JobDraft(store.uploads.get(principal, upload_id), JobOptions("tiny"), ())
    store.jobs.create(job_id, job_id, "d", draft)


def claimed(store):
    return [job.job_id for job in iter(store.jobs.claim_next, None)]


def test_one_song_waits_for_one_job_of_a_night_of_songs(store):
    for number in range(5):
        queue(store, "night", f"night {number}")
    assert store.jobs.claim_next().job_id == "night 0"
    queue(store, "guest", "song")
    assert claimed(store) == ["song", "night 1", "night 2", "night 3", "night 4"]


def test_principals_take_turns_and_each_goes_in_order(store):
    for number in range(3):
        for principal in ("anna", "bert", "carl"):
            queue(store, principal, f"{principal} {number}")
    assert claimed(store) == [f"{name} {n}" for n in range(3) for name in ("anna", "bert", "carl")]


def test_turns_outlive_a_restart(store, tmp_path):
    for name in ("anna 0", "anna 1", "bert 0"):
        queue(store, name.split()[0], name)
    assert store.jobs.claim_next().job_id == "anna 0"
    store.close()
    reopened = Store(tmp_path / "ugosa.sqlite")
    assert claimed(reopened) == ["bert 0", "anna 1"]
    reopened.close()


def test_a_job_that_lost_its_worker_keeps_its_place(store):
    for name in ("anna 0", "anna 1", "bert 0"):
        queue(store, name.split()[0], name)
    job = store.jobs.claim_next()
    store.jobs.requeue(job.job_id, job.attempt, RunNotice("WORKER_RETRY", "again"))
    assert claimed(store) == ["bert 0", "anna 0", "anna 1"]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 4))
def test_positions_are_the_order_in_which_jobs_run(tmp_path_factory, principals, already):
    store = Store(tmp_path_factory.mktemp("store") / "s.sqlite")
    for number, principal in enumerate(principals):
        queue(store, principal, f"{principal} {number}")
    for _ in range(already):
        store.jobs.claim_next()
    waiting = store.jobs.unfinished(JobState.QUEUED)
    positions = {job.job_id: job.queue_position for job in waiting}
    assert positions == {job_id: place for place, job_id in enumerate(claimed(store), start=1)}
    store.close()
