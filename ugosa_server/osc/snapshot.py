"""Snapshots of jobs: as one self-contained datagram each, and read from the store when the hub has news."""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pythonosc.osc_message_builder import build_msg

from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.events import EventBody, JobEvent, JobState, StateChanged
from ugosa_server.jobs.model import Job
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.runs import RunBaseStems, RunNotice, RunPhase, RunPreview, RunProgress
from ugosa_server.jobs.store import Store

PROGRESS_ADDRESS = "/ugosa/v1/job/progress"
MAX_DATAGRAM_BYTES = 1400  # below the MTU of Ethernet (1500) less IP and UDP headers: never fragmented
ETA_UNKNOWN_S = -1.0
MAX_WAITING = 20  # jobs that wait and are sent to who asks for all: a queue may have hundreds

PHASE_TEXTS = {
    RunPhase.PREPARE: "preparing",
    RunPhase.BASE_SEPARATION: "separating with the base network",
    RunPhase.ADAPTATION: "adapting",
    RunPhase.SEPARATION: "separating",
    RunPhase.REPORT: "writing the report",
}

RETRY_S = 5.0  # between attempts to read a store that refuses

_ELLIPSIS = "…"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobSnapshot:
    """State of a job at one moment."""

    job_id: str
    """Server-made id."""
    seq: int
    """Sequence number of the job's newest event; 0 <= seq < 2^31."""
    state: JobState
    fraction: float
    """Share of the job that is done, 0 to 1."""
    eta_s: float | None
    """Seconds to the end; None = unknown."""
    text: str
    """For people, for example "adapting, epoch 3 of 10"."""


def encode(snapshot: JobSnapshot) -> bytes:
    """Return the datagram `/ugosa/v1/job/progress ,sisffs` of at most `MAX_DATAGRAM_BYTES`."""
    room = MAX_DATAGRAM_BYTES - len(_message(snapshot, ""))  # an empty string takes 4 bytes, as 0 to 3 do
    return _message(snapshot, _truncated(_one_line(snapshot.text), room + 3))


def _message(snapshot: JobSnapshot, text: str) -> bytes:
    eta_s = ETA_UNKNOWN_S if snapshot.eta_s is None else snapshot.eta_s
    numbers = [float(snapshot.fraction), float(eta_s)]
    arguments = [snapshot.job_id, snapshot.seq, snapshot.state.upper(), *numbers, text]
    return bytes(build_msg(PROGRESS_ADDRESS, arguments).dgram)


def _one_line(text: str) -> str:
    """Replace control characters: a NUL would end the OSC string, a line break would break displays."""
    return "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text)


def _truncated(text: str, max_bytes: int) -> str:
    """Shorten text to `max_bytes` bytes of UTF-8, ending in an ellipsis and between characters."""
    encoded = text.encode("utf-8")
    if len(encoded) <= max_bytes:
        return text
    kept = encoded[: max_bytes - len(_ELLIPSIS.encode("utf-8"))]
    return kept.decode("utf-8", errors="ignore") + _ELLIPSIS


class JobFeed:
    """One principal's jobs as snapshots, read from the store. Belongs to the event loop's thread."""

    def __init__(self, jobs: JobQueue, principal: str) -> None:
        self._jobs = jobs
        self._principal = principal
        self._live: dict[str, JobSnapshot] = {}
        self._news: set[str] = set()
        self._woken = asyncio.Event()
        jobs.hub.tap(self._on_news)

    async def load(self) -> None:
        """Read the jobs that an earlier server process left."""
        states = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)
        jobs = await self._jobs.store(lambda s: [job for state in states for job in s.jobs.unfinished(state)])
        for job in jobs:
            if job.principal == self._principal:
                await self.snapshot(job.job_id)

    async def run(self, publish: Callable[[JobSnapshot], None], discard: Callable[[str], None]) -> None:
        """Publish news for ever; several events of a job that wait together become one snapshot.

        A job that is gone is discarded: it may have ended and been deleted between two reads.
        """
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._news:
                job_id = self._news.pop()
                try:
                    publish(await self.snapshot(job_id))
                except NotFoundError:
                    discard(job_id)
                except Exception:  # such as a store that cannot be read now: the job is read again
                    log.exception("job %s cannot be published; trying again in %.0f s", job_id, RETRY_S)
                    self._news.add(job_id)
                    await asyncio.sleep(RETRY_S)

    def live_jobs(self) -> Sequence[JobSnapshot]:
        """Return a snapshot of every job that runs, and of the first MAX_WAITING that wait."""
        running = [live for live in self._live.values() if live.state is not JobState.QUEUED]
        waiting = [live for live in self._live.values() if live.state is JobState.QUEUED]
        return running + waiting[:MAX_WAITING]

    async def snapshot(self, job_id: str) -> JobSnapshot:
        """Return a snapshot of a job, ended or not.

        Raises:
            NotFoundError: there is no such job.
        """

        def read(store: Store) -> tuple[Job, Sequence[JobEvent]]:
            job = store.jobs.get(self._principal, job_id, marks=False)
            return job, store.events.after(job_id, job.last_seq - 1, 1)

        try:
            job, events = await self._jobs.store(read)  # in one step: the job could end between two
        except NotFoundError:
            self._live.pop(job_id, None)
            raise
        newest = events[0].body if events else None
        snapshot = JobSnapshot(
            job_id=job.job_id,
            seq=job.last_seq,
            state=job.state,
            fraction=job.fraction,
            eta_s=newest.eta_s if isinstance(newest, RunProgress) else None,
            text=_text(job, newest),
        )
        if job.state.ended:
            self._live.pop(job_id, None)
        else:
            self._live[job_id] = snapshot
        return snapshot

    async def cancel(self, job_id: str) -> None:
        """Ask a job to end; raise NotFoundError if there is none. One that has ended stays as it is."""
        await self._jobs.cancel(self._principal, job_id)

    async def accept(self, job_id: str) -> None:
        """Ask a job to go on to the stems of what it has learned, as `cancel` does."""
        await self._jobs.accept(self._principal, job_id)

    def _on_news(self, job_id: str) -> None:
        self._news.add(job_id)
        self._woken.set()


def _text(job: Job, newest: EventBody | None) -> str:
    match newest:
        case RunProgress(phase=RunPhase.ADAPTATION, epoch=epoch, epochs=epochs):
            return f"{PHASE_TEXTS[RunPhase.ADAPTATION]}, epoch {epoch} of {epochs}"
        case RunProgress(phase=phase):
            return PHASE_TEXTS[phase]
        case RunNotice(message=message):
            return message
        case RunBaseStems():
            return "the stems of the model as it is are there"
        case RunPreview(epoch=epoch):
            return f"a preview of epoch {epoch} is there"
        case StateChanged(state=JobState.QUEUED):
            return f"waiting, place {job.queue_position}"
        case StateChanged(error=error) if error is not None:
            return error.message
    return job.state.value
