"""States and events of jobs, and the wake-ups of those in this process who watch them.

Events are durable before anyone sees them; `seq` starts at 1 for every job and has no gaps. A wake-up only
says that a job has new events; watchers read them from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.jobs.runs import RunFailed, RunStep


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True in a terminal state."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class StateChanged:
    """The job entered a state."""

    state: JobState
    error: RunFailed | None = None
    """Set when FAILED."""


EventBody = StateChanged | RunStep


@dataclass(frozen=True)
class JobEvent:
    """One durable event of a job."""

    job_id: str
    seq: int
    """1, 2, 3 ... without gaps."""
    attempt: int
    """Number of the run that it belongs to; 0 before the first."""
    time_s: float
    """Unix time."""
    body: EventBody


class EventHub:
    """Wakes the watchers of jobs. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Event, frozenset[str]] = {}
        self._taps: list[Callable[[str], None]] = []
        self.closed = False

    def announce(self, job_id: str) -> None:
        """Wake the watchers of a job, after a change of its events or state is durable."""
        for changed, job_ids in self._listeners.items():
            if job_id in job_ids:
                changed.set()
        for tap in self._taps:
            tap(job_id)

    def tap(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the id of every job that has news."""
        self._taps.append(callback)

    @property
    def watched(self) -> set[str]:
        """Ids of the jobs that somebody watches."""
        return {job_id for job_ids in self._listeners.values() for job_id in job_ids}

    @contextmanager
    def listen(self, *job_ids: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at every announcement of one of the jobs (and when the hub closes)."""
        changed = asyncio.Event()
        self._listeners[changed] = frozenset(job_ids)
        try:
            yield changed
        finally:
            del self._listeners[changed]

    def close(self) -> None:
        """Wake everyone for the last time; `closed` is the reason."""
        self.closed = True
        for changed in self._listeners:
            changed.set()
