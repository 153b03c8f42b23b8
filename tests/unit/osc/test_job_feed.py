"""The feed of OSC: a job is live until it ends, whoever asks meanwhile."""

import asyncio
import copy

import pytest

from tests.helpers.front import PRINCIPAL, running_front
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.osc.snapshot import MAX_WAITING, JobFeed

pytestmark = pytest.mark.asyncio


def no_job_is_gone(job_id):
    raise AssertionError(f"{job_id} is still there")


async def test_job_that_ends_during_a_query_is_not_live_again(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate, succeed]) as front:
        ended = asyncio.Event()
        queries = iter([True])

        async def store(work):
            """Answers the first read only once the job has ended."""
            if next(queries, False):
                gate.open()
                await ended.wait()
            return await front.store(work)

        jobs = copy.copy(front.jobs)
        jobs.store = store
        feed = JobFeed(jobs, PRINCIPAL)
        upload = await front.upload()
        job = await front.jobs.create(PRINCIPAL, "r", upload.upload_id, JobOptionsRequest(), ())
        await gate.reached.wait()
        query = asyncio.create_task(feed.snapshot(job.job_id))
        publishing = asyncio.create_task(
            feed.run(lambda snapshot: ended.set() if snapshot.state.ended else None, no_job_is_gone)
        )
        await query
        assert feed.live_jobs() == []
        with pytest.raises(NotFoundError):
            await feed.snapshot("job-0000000000000000")
        publishing.cancel()


async def test_of_a_long_queue_only_its_head_is_sent_to_who_asks(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate, succeed], max_queued=100) as front:
        feed = JobFeed(front.jobs, PRINCIPAL)
        upload = await front.upload()
        for number in range(MAX_WAITING + 5):
            await front.jobs.create(PRINCIPAL, f"r{number}", upload.upload_id, JobOptionsRequest(), ())
        await gate.reached.wait()
        await feed.load()
        states = [live.state.upper() for live in feed.live_jobs()]
        assert states == ["RUNNING", *["QUEUED"] * MAX_WAITING]


async def test_job_deleted_before_its_end_was_seen_is_discarded(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate, succeed]) as front:
        feed = JobFeed(front.jobs, PRINCIPAL)
        upload = await front.upload()
        job = await front.jobs.create(PRINCIPAL, "r", upload.upload_id, JobOptionsRequest(), ())
        await gate.reached.wait()
        await feed.snapshot(job.job_id)
        assert [live.job_id for live in feed.live_jobs()] == [job.job_id]
        gate.open()
        async for _ in front.jobs.watch(PRINCIPAL, job.job_id, 0):
            pass
        await front.jobs.delete(PRINCIPAL, job.job_id)

        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        published = []
        publishing = asyncio.create_task(feed.run(published.append, gone.set_result))
        assert await asyncio.wait_for(gone, 60) == job.job_id
        assert published == feed.live_jobs() == []
        publishing.cancel()
