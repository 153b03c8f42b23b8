"""Jobs from queue to end, on an engine that misbehaves on command."""

import asyncio
import shutil
from functools import partial
from pathlib import Path

import apsw
import pytest

from tests.helpers.failpoints import PHASES
from tests.helpers.faulty_engine import DUPLICATES, HANGS, LATE, LOST_RESULT, FaultyEngine
from tests.helpers.front import PRINCIPAL, Front, running_front, wav_bytes
from tests.helpers.scripted_engine import Gate, ScriptedEngine, progress, succeed
from ugosa_server.errors import (
    AllSilentError,
    BadOptionError,
    DrainingError,
    JobNotFinishedError,
    NotFoundError,
    QueueFullError,
    RequestIdConflictError,
    UnknownModelError,
    UnknownSourceError,
    UnsupportedEncodingError,
    WorkerLostError,
)
from ugosa_server.jobs.events import JobState, StateChanged
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.queue import ArrayItem
from ugosa_server.jobs.runs import RunCancelled, RunFailed, RunNotice, RunPreview, StemFile
from ugosa_server.jobs.store import STORE_FILE_NAME, Store
from ugosa_server.jobs.store.job_table import JobTable
from ugosa_server.marks import Mark, MarkState

pytestmark = pytest.mark.asyncio

OPTIONS = JobOptionsRequest()
MARKS = (Mark("vocals", MarkState.SILENT, 0, 1000),)
LOST = WorkerLostError("the worker process ended (exit status -9)")


async def submit(front, request_id="r", upload=None, options=OPTIONS, marks=MARKS):
    upload = upload or await front.upload()
    return await front.jobs.create(PRINCIPAL, request_id, upload.upload_id, options, marks)


def states(events):
    return [event.body.state for event in events if isinstance(event.body, StateChanged)]


async def test_a_job_goes_from_queue_to_stems(tmp_path):
    async with running_front(tmp_path) as front:
        job = await submit(front)
        events = await front.events(job.job_id)
        assert states(events) == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
        stem = await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "drums")
        assert stem.path.read_bytes().startswith(job.job_id.encode())
        with pytest.raises(NotFoundError, match="drums, bass, other, vocals"):
            await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "guitar")


async def test_a_cancel_in_the_store_reaches_run_and_watchers(tmp_path):
    """As `ugosa-server token revoke --cancel-jobs` asks, from a process of its own."""
    never = Gate()
    async with running_front(tmp_path, [progress(1), never, succeed]) as front:
        running, waiting = await submit(front), await submit(front, "next")
        watches = [asyncio.create_task(front.events(job.job_id)) for job in (running, waiting)]
        await never.reached.wait()
        beside = Store(tmp_path / STORE_FILE_NAME)
        assert beside.jobs.cancel_all(PRINCIPAL) == 2
        beside.close()
        for events in await asyncio.gather(*watches):
            assert states(events)[-1] is JobState.CANCELLED


async def test_a_lost_worker_is_retried_once_and_the_events_say_so(tmp_path):
    async with running_front(tmp_path, [progress(1), LOST]) as front:
        job = await submit(front)
        events = await front.events(job.job_id)
        assert states(events)[-1] is JobState.SUCCEEDED
        assert [event.body.reason for event in events if isinstance(event.body, RunNotice)] == [
            "WORKER_RETRY"
        ]
        assert [run.spec.attempt for run in front.engine.runs] == [1, 2]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_a_job_that_loses_two_workers_fails(tmp_path):
    async with running_front(tmp_path, [progress(1), LOST], [progress(1), LOST]) as front:
        job = await submit(front)
        await front.events(job.job_id)
        job = await front.jobs.get(PRINCIPAL, job.job_id)
        assert job.state is JobState.FAILED
        assert job.error.reason == "WORKER_LOST"
        assert "lost 2 workers" in job.error.message
        following = await submit(front, "next")
        assert states(await front.events(following.job_id))[-1] is JobState.SUCCEEDED


async def test_a_failure_that_would_repeat_is_not_retried(tmp_path):
    async with running_front(tmp_path, [RunFailed("NONFINITE_LOSS", "the loss is NaN at step 3")]) as front:
        job = await submit(front)
        await front.events(job.job_id)
        job = await front.jobs.get(PRINCIPAL, job.job_id)
        assert (job.state, job.error.reason, job.attempt) == (JobState.FAILED, "NONFINITE_LOSS", 1)
        with pytest.raises(JobNotFinishedError, match="loss is NaN"):
            await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "drums")


async def test_a_cancelled_run_frees_the_worker_and_the_queue_moves_on(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate, succeed]) as front:
        first = await submit(front, "first")
        second = await submit(front, "second")
        await gate.reached.wait()
        assert (await front.jobs.cancel(PRINCIPAL, first.job_id)).state is JobState.CANCELLING
        assert states(await front.events(first.job_id))[-1] is JobState.CANCELLED
        assert states(await front.events(second.job_id))[-1] is JobState.SUCCEEDED
        assert front.engine.runs[0].cancel_calls == 1
        assert not front.spool.attempt_dir(first.job_id, 1).exists()


async def test_accept_reaches_the_run_and_any_later_attempt(tmp_path):
    gates = [Gate(), Gate()]
    async with running_front(tmp_path, [gates[0], LOST], [gates[1], succeed]) as front:
        job = await submit(front)
        await gates[0].reached.wait()
        assert not (await front.jobs.get(PRINCIPAL, job.job_id)).accepted
        for _ in range(2):
            assert (await front.jobs.accept(PRINCIPAL, job.job_id)).accepted
        for gate, run in zip(gates, (0, 1), strict=True):
            await gate.reached.wait()
            await front.engine.runs[run].accepted.wait()
            gate.open()
        assert states(await front.events(job.job_id))[-1] is JobState.SUCCEEDED
        assert (await front.jobs.accept(PRINCIPAL, job.job_id)).state is JobState.SUCCEEDED


async def test_waiting_job_can_be_accepted_and_cancelled(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [gate, succeed], [Gate(), succeed]) as front:
        await submit(front, "first")
        await gate.reached.wait()
        job = await submit(front, "second")
        await front.jobs.accept(PRINCIPAL, job.job_id)
        gate.open()
        while len(front.engine.runs) < 2:
            await asyncio.sleep(0)
        await front.engine.runs[1].accepted.wait()
        await asyncio.gather(*(ask(PRINCIPAL, job.job_id) for ask in (front.jobs.accept, front.jobs.cancel)))
        assert states(await front.events(job.job_id))[-1] is JobState.CANCELLED
        front.jobs.on_request(job.job_id)
        job = await front.jobs.accept(PRINCIPAL, job.job_id)
        assert (job.state, job.accepted) == (JobState.CANCELLED, True)
        await front.jobs.delete(PRINCIPAL, job.job_id)


async def test_cancel_does_not_wait_for_a_starting_worker(tmp_path):
    starting = Gate()
    async with running_front(tmp_path, starting) as front:
        first = await submit(front, "first")
        second = await submit(front, "second")
        await starting.reached.wait()
        await front.jobs.cancel(PRINCIPAL, first.job_id)
        assert states(await front.events(first.job_id))[-1] is JobState.CANCELLED
        assert states(await front.events(second.job_id))[-1] is JobState.SUCCEEDED
        assert [run.spec.job_id for run in front.engine.runs] == [second.job_id]


async def test_draining_does_not_wait_for_a_starting_worker(tmp_path):
    starting = Gate()
    async with running_front(tmp_path, starting) as front:
        job = await submit(front)
        await starting.reached.wait()
        await front.scheduler.drain(grace_s=0)
        assert (await front.jobs.get(PRINCIPAL, job.job_id)).state is JobState.QUEUED


async def test_cancelled_job_whose_worker_dies_is_not_retried(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [gate, LOST]) as front:
        job = await submit(front)
        await gate.reached.wait()
        await front.store(lambda s: s.jobs.request_cancel(PRINCIPAL, job.job_id))  # not announced: a race
        gate.open()
        assert states(await front.events(job.job_id))[-1] is JobState.CANCELLED


async def test_cancel_between_attempts_removes_partial_files(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [gate, succeed]) as front:
        running = await submit(front, "first")
        await gate.reached.wait()
        waiting = await submit(front, "second")
        earlier = front.spool.make_attempt(waiting.job_id, 1)  # as a lost worker leaves it
        (Path(earlier.out_dir) / "model-mix.f32").write_bytes(b"large")
        earlier.checkpoint.write_bytes(b"epoch 3")
        assert (await front.jobs.cancel(PRINCIPAL, waiting.job_id)).state is JobState.CANCELLED
        assert not earlier.out_dir.exists()
        assert not earlier.checkpoint.exists()
        assert (await front.jobs.cancel(PRINCIPAL, running.job_id)).state is JobState.CANCELLING
        assert front.spool.attempt_dir(running.job_id, 1).exists(), "its worker still writes there"
        gate.open()
        await front.events(running.job_id)


async def test_a_watcher_that_comes_back_sees_each_event_once(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), progress(2), gate, progress(3), succeed]) as front:
        job = await submit(front)
        await gate.reached.wait()
        watch = front.jobs.watch(PRINCIPAL, job.job_id, 0)
        seen = [await anext(watch), await anext(watch), await anext(watch)]
        await watch.aclose()
        gate.open()
        seen += await front.events(job.job_id, seen[-1].seq)
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert await front.events(job.job_id, seen[-1].seq) == []


@pytest.mark.parametrize("per_read", [1, 2, 4])
async def test_a_watch_ends_well_though_its_ended_job_is_deleted(tmp_path, monkeypatch, per_read):
    monkeypatch.setattr("ugosa_server.jobs.queue.EVENTS_PER_READ", per_read)
    async with running_front(tmp_path, [progress(1), succeed]) as front:
        items = [ArrayItem((await front.upload()).upload_id, OPTIONS, MARKS)]
        array = await front.jobs.create_array(PRINCIPAL, "r", items)
        (job_id,) = array.job_ids
        events = await front.events(job_id)
        assert len(events) == 4
        watch = front.jobs.watch(PRINCIPAL, job_id, 0)
        watch_of_array = front.jobs.watch_array(PRINCIPAL, array.array_id, 0)
        assert [await anext(watch) for _ in events] == events
        assert [await anext(watch_of_array) for _ in events] == list(enumerate(events, start=1))
        await front.jobs.delete(PRINCIPAL, job_id)
        assert [event async for event in watch] == []
        assert [event async for event in watch_of_array] == []


async def test_a_restart_queues_what_was_running_and_keeps_all_events(tmp_path):
    gate = Gate()
    (tmp_path / "state").mkdir()
    async with running_front(tmp_path / "state", [progress(1), gate]) as front:
        job = await submit(front)
        waiting = await submit(front, "waiting")
        await gate.reached.wait()
        before = await front.store(lambda s: s.events.after(job.job_id, 0, 100))
        shutil.copytree(tmp_path / "state", tmp_path / "left")  # as a process that dies here leaves it
    async with running_front(tmp_path / "left") as front:
        events = await front.events(job.job_id)
        assert events[: len(before)] == before
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert states(events)[-1] is JobState.SUCCEEDED
        assert states(await front.events(waiting.job_id))[-1] is JobState.SUCCEEDED


async def test_a_restart_does_not_count_as_a_lost_worker(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate]) as front:
        job = await submit(front)
        await gate.reached.wait()
    async with running_front(tmp_path, [progress(1), LOST]) as front:
        assert states(await front.events(job.job_id))[-1] is JobState.SUCCEEDED
        assert (await front.jobs.get(PRINCIPAL, job.job_id)).attempt == 3


async def test_draining_puts_the_running_job_back_and_refuses_new_work(tmp_path):
    gate = Gate()
    front = Front(tmp_path, ScriptedEngine([progress(1), gate]))
    front.scheduler.start()
    upload = await front.upload()
    job = await submit(front, upload=upload)
    await gate.reached.wait()
    front.jobs.draining = front.uploads.draining = True
    with pytest.raises(DrainingError):
        await submit(front, "late", upload)
    with pytest.raises(DrainingError):
        await front.upload()
    assert (await submit(front, upload=upload)).job_id == job.job_id, "a retry of what was done is answered"
    await front.scheduler.drain(grace_s=0)
    assert (await front.jobs.get(PRINCIPAL, job.job_id)).state is JobState.QUEUED
    front.store.close()


async def test_the_queue_is_bounded(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [gate], max_queued=1) as front:
        upload = await front.upload()
        await submit(front, "running", upload)
        await gate.reached.wait()
        await submit(front, "waiting", upload)
        with pytest.raises(QueueFullError, match="jobs waiting: 1,"):
            await submit(front, "too many", upload)
        gate.open()


@pytest.mark.parametrize(
    ("options", "marks", "error", "words"),
    [
        (OPTIONS, (Mark("vocal", MarkState.SILENT, 0, 9),), UnknownSourceError, "vocals"),
        (JobOptionsRequest(model="tinny"), MARKS, UnknownModelError, "tiny"),
        (JobOptionsRequest(adaptation={"epochs": -1}), MARKS, BadOptionError, "epochs is -1"),
        (JobOptionsRequest(adaptation={"strategy": "P-L9:D"}), MARKS, BadOptionError, "P-L9:D"),
        (JobOptionsRequest(separation={"overlap": 1.5}), MARKS, BadOptionError, "1.5"),
        (JobOptionsRequest(preset="papper"), MARKS, BadOptionError, "paper"),
        (
            OPTIONS,
            tuple(Mark(s, MarkState.SILENT, 0, 2000) for s in ("drums", "bass", "other", "vocals")),
            AllSilentError,
            "unmark at least one",
        ),
    ],
)
async def test_invalid_request_is_refused_before_it_is_queued(tmp_path, options, marks, error, words):
    async with running_front(tmp_path) as front:
        with pytest.raises(error, match=words):
            await submit(front, options=options, marks=marks)
        assert await front.store(lambda s: s.jobs.page(PRINCIPAL, (), "", 10)) == ([], "")
        assert front.engine.runs == []


async def test_one_request_is_one_job_even_with_another_upload(tmp_path):
    async with running_front(tmp_path) as front:
        first, again = await asyncio.gather(submit(front), submit(front), return_exceptions=True)
        assert first.job_id == again.job_id
        with pytest.raises(RequestIdConflictError, match="another song"):
            await submit(front, upload=await front.upload(wav_bytes(seed=1)))
        with pytest.raises(RequestIdConflictError):
            await submit(front, marks=())


async def test_unusable_audio_leaves_nothing_behind(tmp_path):
    async with running_front(tmp_path) as front:
        with pytest.raises(UnsupportedEncodingError):
            await front.upload(b"RIFF but not really")
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_job_that_cannot_be_recorded_is_run_again(tmp_path, monkeypatch):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate, succeed]) as front:
        record = JobTable.append_event
        broken = []

        def refuse_once(table, job_id, attempt, body):
            if not broken:
                broken.append(job_id)
                raise apsw.FullError("database or disk is full")
            return record(table, job_id, attempt, body)

        monkeypatch.setattr(JobTable, "append_event", refuse_once)
        first = await submit(front, "first")
        second = await submit(front, "second")
        assert states(await front.events(second.job_id))[-1] is JobState.SUCCEEDED
        assert broken == [first.job_id]
        assert (await front.jobs.get(PRINCIPAL, first.job_id)).attempt == 2
        assert (await front.jobs.get(PRINCIPAL, first.job_id)).state is JobState.SUCCEEDED
        assert front.engine.runs[0].cancel_calls == 1
        stem = await front.jobs.results.stem_file(PRINCIPAL, second.job_id, "drums")
        assert stem.path.read_bytes().startswith(second.job_id.encode())


async def test_a_store_that_refuses_for_a_while_costs_no_slot(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.scheduling.STORE_RETRY_S", 0.0)
    end, claim = JobTable.end, JobTable.claim_next
    refusals = iter(range(4))

    def unless_refused(method):
        def call(*arguments):
            if next(refusals, None) is not None:
                raise apsw.FullError("database or disk is full")
            return method(*arguments)

        return call

    async with running_front(tmp_path, [RunFailed("DIVERGED", "the loss is NaN")]) as front:
        monkeypatch.setattr(JobTable, "end", unless_refused(end))
        monkeypatch.setattr(JobTable, "claim_next", unless_refused(claim))
        job = await submit(front)
        assert states(await front.events(job.job_id))[-1] is JobState.FAILED
        following = await submit(front, "next")
        assert states(await front.events(following.job_id))[-1] is JobState.SUCCEEDED


@pytest.mark.parametrize("habits", [{DUPLICATES}, {LATE}, {DUPLICATES, LATE}, {LOST_RESULT}])
async def test_job_has_one_end_whatever_the_engine_yields(tmp_path, habits):
    engine = FaultyEngine(habits=habits)
    async with running_front(tmp_path, engine=engine) as front:
        jobs = [await submit(front, f"request {number}") for number in range(3)]
        for job in jobs:
            events = await front.events(job.job_id)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert states(events)[-1] is JobState.SUCCEEDED
            assert sum(state.ended for state in states(events)) == 1
            assert await front.events(job.job_id) == events
            stem = await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "drums")
            job = await front.jobs.get(PRINCIPAL, job.job_id)
            assert stem.path.read_bytes().startswith(f"{job.job_id} {job.attempt} drums".encode())
        assert len(engine.runs) == len(jobs) + (LOST_RESULT in habits)


@pytest.mark.parametrize("place", [*PHASES, "worker.report_written"])
async def test_job_whose_worker_dies_has_stems_of_attempt_two(tmp_path, place):
    async with running_front(tmp_path, engine=FaultyEngine([place])) as front:
        job = await submit(front)
        events = await front.events(job.job_id)
        assert states(events)[-1] is JobState.SUCCEEDED
        assert {event.attempt for event in events} == {0, 1, 2}
        stem = await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "drums")
        assert stem.path.read_bytes().startswith(f"{job.job_id} 2 drums".encode())
        assert not front.spool.attempt_dir(job.job_id, 1).exists()


async def test_a_hung_worker_costs_an_attempt(tmp_path):
    engine = FaultyEngine(["phase.adaptation.step"], {HANGS}, patience_s=0.1)
    async with running_front(tmp_path, engine=engine) as front:
        hung = await submit(front, "hung")
        assert states(await front.events(hung.job_id))[-1] is JobState.SUCCEEDED
        assert [run.spec.attempt for run in engine.runs] == [1, 2]


async def test_abandoned_attempt_writes_nothing_into_the_next(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), LOST], [progress(2), gate, succeed]) as front:
        job = await submit(front)
        await gate.reached.wait()
        stale = front.engine.runs[0].spec
        assert not await front.store(lambda s: s.jobs.append_event(job.job_id, stale.attempt, progress(4)))
        assert not await front.store(lambda s: s.jobs.end(job.job_id, stale.attempt, RunCancelled()))
        with pytest.raises(FileNotFoundError):
            succeed(stale)
        gate.open()
        events = await front.events(job.job_id)
        assert states(events)[-1] is JobState.SUCCEEDED
        assert [event.attempt for event in events] == sorted(event.attempt for event in events)


async def test_stems_of_a_preview_are_all_of_its_own_step(tmp_path):
    gate = Gate()
    folders = []

    def write(spec, step):
        """As the worker does: a preview takes the place of the one before the last."""
        folders.append(Path(spec.out_dir))
        stems = []
        for source in ("drums", "bass"):
            path = Path(spec.out_dir) / f"preview-{step % 2}-{source}.flac"
            path.write_bytes(f"{source} ".encode() * step)
            stems.append(StemFile(source, path.name, 1, path.stat().st_size, ""))
        return RunPreview(tuple(stems), 1, step, 0, 1)

    script = [*(partial(write, step=step) for step in (1, 2, 3)), gate]
    async with running_front(tmp_path, script) as front:
        job = await submit(front)
        await gate.reached.wait()

        async def read(source, step):
            file = await front.jobs.results.preview_file(PRINCIPAL, job.job_id, source, step)
            return file.path.read_text()

        assert [await read("drums", step) for step in (2, 3, 0)] == ["drums " * n for n in (2, 3, 3)]
        (folders[0] / "preview-0-drums.flac").write_text("drums " * 4)  # the fourth is on its way
        assert await read("bass", 2) == "bass " * 2
        for source, step in (("drums", 1), ("drums", 2), ("drums", 4)):
            with pytest.raises(NotFoundError, match=f"no preview of 'drums' after step {step}"):
                await read(source, step)
