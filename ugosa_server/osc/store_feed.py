"""The server's jobs as the OSC layer sees them, read from the store whenever the hub has news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.event_hub import EventHub
from ugosa_server.jobs.events import JobEvent, JobState, RunNotice, RunPhase, RunProgress, StateChanged
from ugosa_server.jobs.job_queue import JobQueue
from ugosa_server.jobs.records import Job
from ugosa_server.jobs.store import AsyncStore, Store
from ugosa_server.osc.snapshot import JobSnapshot

PHASE_TEXTS = {
    RunPhase.PREPARE: "preparing",
    RunPhase.BASE_SEPARATION: "separating with the base network",
    RunPhase.ADAPTATION: "adapting",
    RunPhase.SEPARATION: "separating",
    RunPhase.REPORT: "writing the report",
}


class StoreFeed:
    """A JobFeed of one principal's jobs. Belongs to the event loop's thread."""

    def __init__(self, store: AsyncStore, jobs: JobQueue, hub: EventHub, principal: str) -> None:
        self._store = store
        self._jobs = jobs
        self._principal = principal
        self._live: dict[str, JobSnapshot] = {}
        self._news: set[str] = set()
        self._woken = asyncio.Event()
        hub.tap(self._on_news)

    async def load(self) -> None:
        """Read the jobs that an earlier server process left."""
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING):
            for job in await self._jobs.unfinished(state):
                if job.principal == self._principal:
                    await self.snapshot(job.job_id)

    async def run(self, publish: Callable[[JobSnapshot], None], forget: Callable[[str], None]) -> None:
        """Publish news for ever; several events of a job that wait together become one snapshot.

        A job that is gone is to be forgotten: it may have ended and been deleted between two looks.
        """
        while True:
            await self._woken.wait()
            self._woken.clear()
            news, self._news = self._news, set()
            for job_id in news:
                job, event = await self._read(job_id)
                if job is not None:
                    publish(self._remember(job, event))
                else:
                    forget(job_id)

    def live_jobs(self) -> Sequence[JobSnapshot]:
        """See JobFeed."""
        return list(self._live.values())

    async def snapshot(self, job_id: str) -> JobSnapshot:
        """See JobFeed."""
        job, event = await self._read(job_id)
        if job is None:
            raise NotFoundError(f"no job {job_id!r}")
        return self._remember(job, event)

    async def cancel(self, job_id: str) -> None:
        """See JobFeed."""
        await self._jobs.cancel(self._principal, job_id)

    def _on_news(self, job_id: str) -> None:
        self._news.add(job_id)
        self._woken.set()

    async def _read(self, job_id: str) -> tuple[Job | None, JobEvent | None]:
        """Return the job and its newest event; None for one that has been deleted or is another's."""

        def read(store: Store) -> tuple[Job | None, JobEvent | None]:
            job = store.jobs.find(self._principal, job_id)
            events = [] if job is None else store.events.after(job_id, job.last_seq - 1, 1)
            return job, events[0] if events else None

        job, event = await self._store(read)  # at once: what is read in two steps may have ended in between
        if job is None:
            self._live.pop(job_id, None)
        return job, event

    def _remember(self, job: Job, event: JobEvent | None) -> JobSnapshot:
        progress = event.body if event and isinstance(event.body, RunProgress) else None
        snapshot = JobSnapshot(
            job_id=job.job_id,
            seq=job.last_seq,
            state=job.state.value.upper(),
            fraction=job.fraction,
            eta_s=progress.eta_s if progress else None,
            text=_text(job, event),
        )
        if snapshot.ended:
            self._live.pop(job.job_id, None)
        else:
            self._live[job.job_id] = snapshot
        return snapshot


def _text(job: Job, event: JobEvent | None) -> str:
    match event.body if event else None:
        case RunProgress(phase=RunPhase.ADAPTATION, epoch=epoch, epochs=epochs):
            return f"{PHASE_TEXTS[RunPhase.ADAPTATION]}, epoch {epoch} of {epochs}"
        case RunProgress(phase=phase):
            return PHASE_TEXTS[phase]
        case RunNotice(message=message):
            return message
        case StateChanged(state=JobState.QUEUED):
            return f"waiting, place {job.queue_position}"
        case StateChanged(error=error) if error is not None:
            return error.message
    return job.state.value
