"""Attempts that count against a job: runs that had begun and kept nothing; no drain, no machine fault."""

import asyncio
import shutil

import apsw
import pytest

from tests.helpers.front import PRINCIPAL, Front, running_front
from tests.helpers.scripted_engine import Gate, ScriptedEngine, progress, succeed
from ugosa_server.errors import WorkerLostError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.retries import MAX_LOST_RUNS, MAX_LOST_WORKERS, MAX_MACHINE_FAULTS, pause_s
from ugosa_server.jobs.runs import RunFailed, RunNotice
from ugosa_server.jobs.store.job_table import JobTable

pytestmark = pytest.mark.asyncio

LOST = WorkerLostError("the worker process ended (exit status -9)")
SHORT = RunFailed("MACHINE_FAULT", "this machine ran short: cannot allocate memory")
MANY = 3 * MAX_LOST_RUNS


async def submit(front, request_id="r"):
    upload = await front.upload()
    return await front.jobs.create(PRINCIPAL, request_id, upload.upload_id, JobOptionsRequest(), ())


async def ended(front, job):
    events = await front.events(job.job_id)
    notices = [event.body for event in events if isinstance(event.body, RunNotice)]
    return await front.jobs.get(PRINCIPAL, job.job_id), notices


async def test_a_job_stays_queued_until_a_worker_is_ready(tmp_path):
    engine = ScriptedEngine()
    engine.ready.clear()
    async with running_front(tmp_path, engine=engine) as front:
        job = await submit(front)
        for _ in range(20):
            await asyncio.sleep(0)
        waiting = await front.jobs.get(PRINCIPAL, job.job_id)
        assert (waiting.state, waiting.attempt) == (JobState.QUEUED, 0)
        engine.ready.set()
        assert (await ended(front, job))[0].state is JobState.SUCCEEDED


async def test_draining_does_not_wait_for_a_worker(tmp_path):
    engine = ScriptedEngine()
    engine.ready.clear()
    async with running_front(tmp_path, engine=engine) as front:
        await submit(front)
        async with asyncio.timeout(60):
            await front.scheduler.drain(grace_s=1000)


async def restarts(tmp_path, script, times, keep=False):
    """Let a server die so often in the middle of a job; return the job at its end."""
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    job = None
    for number in range(times):
        gate = Gate()
        async with running_front(state_dir, [*script, gate]) as front:
            job = job or await submit(front)
            events = asyncio.ensure_future(front.events(job.job_id))
            reached = asyncio.ensure_future(gate.reached.wait())
            await asyncio.wait([events, reached], return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
            if events.done():
                return await front.jobs.get(PRINCIPAL, job.job_id)
            events.cancel()
            if keep:
                spec = front.engine.runs[-1].spec
                front.spool.checkpoint_path(job.job_id, spec.attempt).write_bytes(b"an epoch")
            shutil.copytree(state_dir, tmp_path / str(number))  # as a process that dies here leaves it
        state_dir = tmp_path / str(number)
    async with running_front(state_dir) as front:
        return (await ended(front, job))[0]


async def test_deaths_before_the_run_began_never_count(tmp_path):
    assert (await restarts(tmp_path, [], MANY)).state is JobState.SUCCEEDED


async def test_deaths_in_the_middle_of_a_run_count(tmp_path):
    job = await restarts(tmp_path, [progress(1)], MANY)
    assert (job.state, job.error.reason, job.attempt) == (JobState.FAILED, "SERVER_RESTART", MAX_LOST_RUNS)
    assert "came to no end" in job.error.message


async def test_a_kept_epoch_begins_the_count_anew(tmp_path):
    job = await restarts(tmp_path, [progress(1)], MANY, keep=True)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, MANY + 1)


async def test_draining_never_counts(tmp_path):
    job = None
    for _ in range(MANY):
        gate = Gate()
        async with running_front(tmp_path, [progress(1), gate]) as front:
            job = job or await submit(front)
            await gate.reached.wait()
    async with running_front(tmp_path) as front:
        assert (await ended(front, job))[0].state is JobState.SUCCEEDED


async def test_workers_that_never_started_do_not_count(tmp_path):
    async with running_front(tmp_path, *[LOST] * MANY) as front:
        job, notices = await ended(front, await submit(front))
        assert job.state is JobState.SUCCEEDED
        assert len(notices) == MANY


async def test_lost_workers_of_runs_that_had_begun_count(tmp_path):
    async with running_front(tmp_path, *[[LOST]] * MANY) as front:
        job, _ = await ended(front, await submit(front))
        assert (job.state, job.error.reason, job.attempt) == (
            JobState.FAILED,
            "WORKER_LOST",
            MAX_LOST_WORKERS,
        )


@pytest.mark.parametrize("reason", ["MACHINE_FAULT", "DISK_FULL"])
async def test_a_machine_that_runs_short_costs_no_job(tmp_path, monkeypatch, reason):
    pauses = []
    monkeypatch.setattr("ugosa_server.scheduling.pause_s", lambda faults: pauses.append(faults) or 0.0)
    short = RunFailed(reason, "this machine ran short")
    async with running_front(tmp_path, *[[progress(1), short]] * 4) as front:
        first = await submit(front, "first")
        second = await submit(front, "second")
        job, notices = await ended(front, first)
        assert job.state is JobState.SUCCEEDED
        assert [notice.reason for notice in notices] == [reason] * 4
        assert (await ended(front, second))[0].state is JobState.SUCCEEDED
        assert pauses[:5] == [1, 2, 3, 4, 0]


async def test_a_job_that_always_runs_short_fails_at_last(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.scheduling.pause_s", lambda faults: 0.0)
    async with running_front(tmp_path, *[[SHORT]] * (MAX_MACHINE_FAULTS + 1)) as front:
        job, _ = await ended(front, await submit(front))
        assert (job.state, job.error.reason, job.attempt) == (
            JobState.FAILED,
            "MACHINE_FAULT",
            MAX_MACHINE_FAULTS,
        )


async def test_the_queue_pauses_longer_with_each_fault():
    assert [pause_s(number) for number in (0, 2, 3, 4, 100)] == [0.0, 0.0, 60.0, 120.0, 600.0]


async def test_draining_ends_though_the_disk_is_full(tmp_path, monkeypatch):
    gate = Gate()
    front = Front(tmp_path, ScriptedEngine([progress(1), gate, succeed]))
    front.scheduler.start()
    job = await submit(front)
    await gate.reached.wait()

    def refuse(*_):
        raise apsw.FullError("database or disk is full")

    with monkeypatch.context() as full:
        full.setattr(JobTable, "requeue", refuse)
        await front.scheduler.drain(grace_s=0)
    front.store.close()
    async with running_front(tmp_path) as front:
        assert (await ended(front, job))[0].state is JobState.SUCCEEDED
