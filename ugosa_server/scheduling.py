"""Scheduler: runs queued jobs on the engine, principal by principal, and records their events and ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ugosa_server.engines import Engine, Run
from ugosa_server.engines.base import MACHINE_FAULTS, failure_of
from ugosa_server.errors import DiskFullError, UgosaError, UploadDamagedError, WorkerLostError
from ugosa_server.failpoints import reach
from ugosa_server.jobs.drafts import stems_of_job
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import Job
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.retries import LostRuns, pause_s, verdict
from ugosa_server.jobs.runs import (
    RunCancelled,
    RunEnd,
    RunFailed,
    RunNotice,
    RunSpec,
    RunStep,
    RunSucceeded,
)
from ugosa_server.jobs.starts import NO_START
from ugosa_server.supervision import keep_running

REASONS_OF_NOTICES = {WorkerLostError.reason: "WORKER_RETRY"}
"""Reason of the notice that a job is run again, where that is another one than the error's."""

STORE_RETRY_S = 5.0  # between attempts to write to a store that refuses
OTHERS_INTERVAL_S = 1.0  # between looks for what other processes have written

log = logging.getLogger(__name__)


@dataclass
class ActiveRun:
    """A run in progress."""

    job: Job
    """As it was claimed."""
    run: Run | None = None
    """None while the engine is starting it."""
    starting: asyncio.Task[Run] | None = None
    """The engine's start of it; a cancel that comes meanwhile ends the wait."""
    is_cancelling: bool = False
    """True once a cancel was passed on."""
    looks: set[asyncio.Task[None]] = field(default_factory=set)
    """Looks for what its user has asked, under way."""


class Scheduler:
    """Keeps every slot of the engine busy. Belongs to the event loop's thread."""

    def __init__(self, jobs: JobQueue, engine: Engine, cancel_deadline_s: float) -> None:
        self._jobs, self._store, self._spool, self._hub = jobs, jobs.store, jobs.spool, jobs.hub
        self._engine = engine
        self._cancel_deadline_s = cancel_deadline_s
        self._active: dict[str, ActiveRun] = {}
        self._draining = asyncio.Event()
        self._slots: list[asyncio.Task[None]] = []
        self._others: asyncio.Task[None] | None = None
        self._faults_in_a_row = 0
        jobs.on_request = self._look_for_requests

    async def recover(self) -> None:
        """Resume the work of an earlier server process: queue running jobs again, complete cancels."""
        for job in await self._store(lambda s: s.jobs.unfinished(JobState.CANCELLING)):
            await self._end(job, RunCancelled())
        for job in await self._store(lambda s: s.jobs.unfinished(JobState.RUNNING)):
            begun = await self._has_begun(job)
            await self._retry(job, "SERVER_RESTART", "the server was restarted", LostRuns(runs=int(begun)))

    def start(self) -> None:
        """Begin to run jobs."""
        self._slots = [keep_running(self._work(), f"slot-{number}") for number in range(self._engine.slots)]
        self._others = keep_running(self._follow_others(), "other-processes")

    async def drain(self, grace_s: float) -> None:
        """Start nothing more; runs that have not ended after `grace_s` seconds go back to the queue."""
        self._draining.set()
        self._jobs.arrived.set()
        if self._slots:
            await asyncio.wait(self._slots, timeout=grace_s)
        for active in list(self._active.values()):
            log.info("job %s goes back to the queue", active.job.job_id)
            try:
                await self._retry(active.job, "SERVER_DRAINING", "the server was shut down", LostRuns())
            except Exception:  # such as a full disk: the next start finds it RUNNING and queues it again
                log.exception("job %s stays as it is on disk", active.job.job_id)
        tasks = [*self._slots, *filter(None, [self._others])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_others(self) -> None:
        """Pass on what other processes write, such as `ugosa-server token revoke --cancel-jobs`."""
        live: set[str] = set()
        seen: int | None = None
        while True:
            try:
                version, unfinished = await self._store(lambda s: (s.version(), s.jobs.unfinished_ids()))
            except Exception:
                log.exception("what other processes ask cannot be read; trying again")
            else:
                for job_id in live | unfinished | self._hub.watched if version != seen else ():
                    self._look_for_requests(job_id)
                    self._hub.announce(job_id)
                live, seen = unfinished, version
            await asyncio.sleep(OTHERS_INTERVAL_S)

    def _look_for_requests(self, job_id: str) -> None:
        active = self._active.get(job_id)
        if active is not None:
            look = asyncio.create_task(self._pass_on_requests(active))
            active.looks.add(look)
            look.add_done_callback(active.looks.discard)

    async def _pass_on_requests(self, active: ActiveRun) -> None:
        try:
            job = await self._jobs.get(active.job.principal, active.job.job_id)
        except Exception:
            log.exception(
                "job %s cannot be read; what it was asked waits for the next look", active.job.job_id
            )
            return
        if job.state is JobState.CANCELLING and not active.is_cancelling:
            if active.run is not None:
                active.is_cancelling = True
                await active.run.cancel(self._cancel_deadline_s)
            elif active.starting is not None:  # else between two steps of _run, which looks again
                active.is_cancelling = active.starting.cancel()
        elif job.accepted and active.run is not None:
            active.run.accept()

    async def _work(self) -> None:
        while not self._draining.is_set():
            await self._until_drained(self._engine.wait_ready())  # until then a job had better wait queued
            if self._draining.is_set():
                return
            self._jobs.arrived.clear()
            try:
                job = await self._store(lambda s: s.jobs.claim_next())
            except Exception:  # such as a full disk: the queue waits
                log.exception("the next job cannot be claimed; trying again in %.0f s", STORE_RETRY_S)
                await self._until_drained(asyncio.sleep(STORE_RETRY_S))
                continue
            if job is None:
                await self._jobs.arrived.wait()
                continue
            self._jobs.arrived.set()  # another slot may have missed one that came with this one
            reach("job.claimed")
            self._hub.announce(job.job_id)
            active = self._active[job.job_id] = ActiveRun(job)
            try:
                await self._run(active)
            except Exception as error:  # such as a store that takes neither event nor end
                log.exception("job %s: the scheduler failed", job.job_id)
                await self._fail_at_last(job, failure_of(error))
            finally:
                del self._active[job.job_id]
            if pause := pause_s(self._faults_in_a_row):
                log.error(
                    "%d runs in a row ended for lack of memory, descriptors or disk space; the queue pauses"
                    " for %.0f s",
                    self._faults_in_a_row,
                    pause,
                )
                await self._until_drained(asyncio.sleep(pause))

    async def _until_drained(self, wait: Coroutine[Any, Any, None]) -> None:
        """Wait for something, but no longer than until the server drains."""
        waits = [asyncio.ensure_future(wait), asyncio.ensure_future(self._draining.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if waits[0].done() and not waits[0].cancelled():
            waits[0].result()

    async def _run(self, active: ActiveRun) -> None:
        job = active.job
        try:
            spec = await self._spec(job)
            reach("job.attempt_made")
            active.starting = asyncio.create_task(self._engine.start(spec), name=f"start-{job.job_id}")
            self._look_for_requests(job.job_id)  # a cancel may have come before
            try:
                active.run = await active.starting
            except asyncio.CancelledError:
                if not active.is_cancelling:
                    raise
                await self._end(job, RunCancelled())
                return
            self._look_for_requests(job.job_id)  # and again while the engine was starting it
            await self._follow(job, active.run)
        except WorkerLostError as error:
            lost = LostRuns() if active.run is None else LostRuns(runs=1, workers=1)
            await self._retry(job, error.reason, error.message, lost)
        except DiskFullError:
            raise
        except UgosaError as error:
            await self._end(job, RunFailed(error.reason, error.message))

    async def _follow(self, job: Job, run: Run) -> None:
        """Record the events of a run in the store, to its first ending; later ones are ignored.

        A run whose ending cannot be recorded is cancelled.
        """
        ended = False
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    ended = not isinstance(event, RunStep)
                    match event:
                        case RunSucceeded():
                            await self._end(job, event)
                            self._faults_in_a_row = 0
                        case RunFailed():
                            await self._fail(job, event)
                        case RunCancelled():
                            await self._end(job, event)
                        case step:
                            await self._record(job, step)
                    if ended:
                        return
            raise WorkerLostError("the run stopped without a result")
        except WorkerLostError:
            ended = True
            raise
        finally:
            if not ended and not self._draining.is_set():
                await run.cancel(self._cancel_deadline_s)

    async def _record(self, job: Job, step: RunStep) -> None:
        await self._store(lambda s: s.jobs.append_event(job.job_id, job.attempt, step))
        reach("job.event_recorded")
        self._hub.announce(job.job_id)

    async def _has_begun(self, job: Job) -> bool:
        """Return whether a worker had begun with the attempt that a dead server left."""
        return await self._store(lambda s: s.events.has_progress(job.job_id, job.attempt))

    async def _fail(self, job: Job, failure: RunFailed) -> None:
        """Fail a job; where the machine is to blame, queue it again."""
        if failure.reason in MACHINE_FAULTS:
            await self._retry(job, failure.reason, failure.message, LostRuns(machine_faults=1))
            self._faults_in_a_row += 1
            return
        if failure.reason == UploadDamagedError.reason:
            await self._store(lambda s: s.uploads.receive_again(job.upload_id))
        await self._end(job, failure)

    async def _fail_at_last(self, job: Job, failure: RunFailed) -> None:
        """Fail a job however long the store cannot be written: its slot must not be lost."""
        while True:
            try:
                await self._fail(job, failure)
                return
            except Exception:
                log.exception("job %s cannot be written; trying again in %.0f s", job.job_id, STORE_RETRY_S)
                await asyncio.sleep(STORE_RETRY_S)

    async def _spec(self, job: Job) -> RunSpec:
        job.require_whole()
        job = self._spool.located(await self._store(lambda s: s.jobs.with_player_frames(job)))
        options = job.options
        model = self._jobs.registry.get(options.model)
        start_path = ""
        if options.start_from != NO_START:
            start_path = str(await self._jobs.drafts.starts.path(job.principal, options.start_from))
        paths = await asyncio.to_thread(self._spool.make_attempt, job.job_id, job.attempt)
        return RunSpec(
            job_id=job.job_id,
            attempt=job.attempt,
            source=job.audio,
            file_name=job.file_name,
            marks=job.marks,
            options=options,
            model_path=str(model.path),
            model_sha256=model.sha256,
            out_dir=str(paths.out_dir),
            checkpoint_path=str(paths.checkpoint),
            resume_path=str(paths.resume or ""),
            stems=stems_of_job(options.instruments, job.marks, model, job.audio),
            video_path=str(self._spool.bytes_path(options.video.upload_id)) if options.video else "",
            start_path=start_path,
        )

    async def _end(self, job: Job, ending: RunEnd) -> None:
        reach("job.run_ended")
        state = await self._store(lambda s: s.jobs.end(job.job_id, job.attempt, ending))
        if state is None:
            return  # it has ended before, or another attempt runs: its files are not ours
        reach("job.ended")
        delete = self._spool.delete_checkpoints if state is JobState.SUCCEEDED else self._spool.delete_job
        await asyncio.to_thread(delete, job.job_id)
        fields: dict[str, object] = {"principal": job.principal, "song": job.file_name, "state": state.value}
        if job.start_time_s is not None:
            fields["seconds"] = round(max(0.0, time.time() - job.start_time_s), 3)
        why = f" ({ending.reason}: {ending.message})" if isinstance(ending, RunFailed) else ""
        log.info("job %s: %s%s", job.job_id, state.value, why, extra=fields)
        self._hub.announce(job.job_id)

    async def _retry(self, job: Job, reason: str, message: str, lost: LostRuns) -> None:
        """Queue a job again; fail it when it lost too many runs, end it when it was cancelled.

        Args:
            job: as it was claimed.
            reason: of the run's end.
            message: of the notice, or of the error.
            lost: what this attempt adds to the job's lost runs; those before a kept epoch are dropped.
        """
        kept = await asyncio.to_thread(self._spool.checkpoint_path(job.job_id, job.attempt).exists)
        before = LostRuns() if kept else await self._store(lambda s: s.jobs.lost_runs(job.job_id))
        lost = LostRuns(*(old + new for old, new in zip(before, lost, strict=True)))
        if last_words := verdict(lost):
            await self._end(job, RunFailed(reason, f"{message}; {last_words}"))
            return
        text = f"{message}; the job will be run again (attempt {job.attempt + 1})"
        notice = RunNotice(REASONS_OF_NOTICES.get(reason, reason), text, warning=True)
        log.warning("job %s: %s; queued again", job.job_id, message)

        if not await self._store(lambda s: s.jobs.requeue(job.job_id, job.attempt, notice, lost)):
            await self._end(job, RunCancelled())
            return
        self._hub.announce(job.job_id)
        self._jobs.arrived.set()
