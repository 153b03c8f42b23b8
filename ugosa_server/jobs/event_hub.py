"""Tells watchers in this process that a job has news. The news itself is read from the store."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class EventHub:
    """Wakes those who listen to a job. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._taps: list[Callable[[str], None]] = []
        self.closed = False

    def announce(self, job_id: str) -> None:
        """Say that a job's events or state have changed, after the change is durable."""
        for listener in self._listeners.get(job_id, ()):
            listener.set()
        for tap in self._taps:
            tap(job_id)

    def tap(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the id of every job that has news."""
        self._taps.append(callback)

    @contextmanager
    def listen(self, *job_ids: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at every announcement of one of the jobs (and when the hub closes)."""
        changed = asyncio.Event()
        for job_id in job_ids:
            self._listeners[job_id].add(changed)
        try:
            yield changed
        finally:
            for job_id in job_ids:
                self._listeners[job_id].discard(changed)
                if not self._listeners[job_id]:
                    del self._listeners[job_id]

    def close(self) -> None:
        """Wake everyone for the last time; `closed` tells them why."""
        self.closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.set()
