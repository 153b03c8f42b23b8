"""A request that is sent again gives the thing it made; another request under its id is a conflict."""

import asyncio

import pytest

from tests.helpers.front import PRINCIPAL, running_front, wav_bytes
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import RequestIdConflictError
from ugosa_server.jobs.model import Job, JobDraft, UploadFormat, new_id
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.runs import JobOptions
from ugosa_server.jobs.store import Store

AUDIO = SourceAudio("/spool/audio.f32", 48000, 2, 96000, "WAV PCM_24", 0.5)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "ugosa.sqlite")
    yield store
    store.close()


def make_upload(store, principal, request_id, digest):
    return store.uploads.create(new_id("upload"), principal, request_id, digest, UploadFormat()).upload_id


def draft(store, principal):
    upload_id = make_upload(store, principal, new_id("request"), "")
    store.uploads.complete(upload_id, "ab" * 32, AUDIO)
    return JobDraft(store.uploads.get(principal, upload_id), JobOptions("tiny"), ())


def make_job(store, principal, request_id, digest):
    return store.jobs.create(new_id("job"), request_id, digest, draft(store, principal)).job_id


def make_array(store, principal, request_id, digest):
    drafts = [draft(store, principal)] * 2
    return store.arrays.create(principal, request_id, digest, drafts, lambda job: None).array_id


@pytest.mark.parametrize(
    ("make", "name"), [(make_upload, "upload"), (make_job, "job"), (make_array, "job array")]
)
def test_one_rule_holds_for_all_kinds_of_requests(store, make, name):
    first = make(store, "anna", "r", "digest")
    assert make(store, "anna", "r", "digest") == first
    assert make(store, "ben", "r", "other") != first
    assert make(store, "anna", "s", "digest") != first
    with pytest.raises(RequestIdConflictError, match=f"'r' was used for a different {name}; use a new one"):
        make(store, "anna", "r", "other")


def test_one_request_id_for_two_songs_at_once_makes_one_job(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            songs = [await front.upload(), await front.upload(wav_bytes(seed=1))]
            calls = (
                front.jobs.create(PRINCIPAL, "r", song.upload_id, JobOptionsRequest(), ()) for song in songs
            )
            results = await asyncio.gather(*calls, return_exceptions=True)
            jobs, _ = await front.store(lambda s: s.jobs.page(PRINCIPAL, (), "", 10))
            assert {type(result) for result in results} == {Job, RequestIdConflictError}
            assert [job.job_id for job in jobs] == [job.job_id for job in results if isinstance(job, Job)]

    asyncio.run(run())
