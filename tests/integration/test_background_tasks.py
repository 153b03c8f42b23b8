"""Background tasks are tried again after a fault of the system, and never end in silence."""

import asyncio
import errno

import pytest

from tests.helpers.engines import Local
from tests.helpers.front import PRINCIPAL, running_front
from tests.helpers.run_specs import RunSpecs
from tests.helpers.scripted_engine import Gate, ScriptedEngine, progress, succeed
from ugosa_server import serve as serve_module
from ugosa_server.config import ServerConfig
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.osc import JobFeed


@pytest.mark.asyncio
async def test_a_failed_fork_is_tried_again(tmp_path, monkeypatch):
    spawn = asyncio.create_subprocess_exec
    failures = [errno.EMFILE, errno.ENOMEM]

    async def fail_at_first(*arguments, **options):
        if failures:
            raise OSError(failures.pop(), "the system has no room")
        return await spawn(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail_at_first)
    monkeypatch.setattr("ugosa_server.engines.worker.START_DELAY_S", 0.0)
    engine = await Local().start(RunSpecs(tmp_path))
    try:
        assert (await engine.health()).ready
        assert not failures
    finally:
        await engine.close()


def test_a_server_whose_background_task_ends_stops_with_a_reason(tmp_path, monkeypatch):
    async def broken(*_):
        raise ZeroDivisionError("division by zero")

    async def engine(*_):
        return ScriptedEngine()

    monkeypatch.setattr(serve_module, "keep_sweeping", broken)
    monkeypatch.setattr(serve_module, "_start_engine", engine)
    config = ServerConfig(state_dir=str(tmp_path / "state"), listen=(f"unix:{tmp_path}/u.sock",))
    failure = asyncio.run(serve_module.serve(config))
    assert "'retention' failed: ZeroDivisionError" in failure


@pytest.mark.asyncio
async def test_progress_over_osc_goes_on_after_a_store_error(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.osc.snapshot.RETRY_S", 0.0)
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate, succeed]) as front:
        feed = JobFeed(front.jobs, PRINCIPAL)
        published = asyncio.Queue()
        feeding = asyncio.create_task(feed.run(published.put_nowait, lambda job_id: None))
        upload = await front.upload()
        get = type(await front.store(lambda s: s.jobs)).get
        errors = [OSError(errno.EIO, "disk")]

        def fail_once(table, principal, job_id, *, marks=True):
            if errors and not marks:
                raise errors.pop()
            return get(table, principal, job_id, marks=marks)

        job = await front.jobs.create(PRINCIPAL, "r", upload.upload_id, JobOptionsRequest(), ())
        monkeypatch.setattr("ugosa_server.jobs.store.job_reader.JobReader.get", fail_once)
        gate.open()
        async with asyncio.timeout(60):
            while not (await published.get()).state.ended:
                pass
        assert not errors
        assert (await front.jobs.get(PRINCIPAL, job.job_id)).state.ended
        feeding.cancel()
