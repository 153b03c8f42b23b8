"""Drives the schedule with the event loop's clock: what is due goes to every target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ugosa_server.osc.schedule import SnapshotSchedule
from ugosa_server.osc.snapshot import JobSnapshot, encode
from ugosa_server.osc.subscribers import Address


class ProgressPublisher:
    """Sends snapshots when they are due. Lives in one event loop; needs no task, only its timer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        targets: Callable[[], Iterable[Address]],
        send: Callable[[bytes, Address], None],
    ) -> None:
        """Publish to what `targets` returns at the time, with `send`, which must not block."""
        self._loop = loop
        self._targets = targets
        self._send = send
        self._schedule = SnapshotSchedule()
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, snapshot: JobSnapshot) -> None:
        """Take news of a job."""
        self._schedule.offer(snapshot, self._loop.time())
        self._pump()

    def forget(self, job_id: str) -> None:
        """Send nothing more of a job that was deleted before its end was known here."""
        self._schedule.forget(job_id)

    def ask(self, snapshots: Iterable[JobSnapshot]) -> None:
        """Have jobs sent again, though nothing changed."""
        for snapshot in snapshots:
            self._schedule.ask(snapshot, self._loop.time())
        self._pump()

    def close(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._schedule = SnapshotSchedule()

    def _pump(self) -> None:
        for snapshot in self._schedule.take_due(self._loop.time()):
            datagram = encode(snapshot)
            for target in self._targets():
                self._send(datagram, target)
        if self._timer is not None:
            self._timer.cancel()
        next_due_s = self._schedule.next_due_s()
        self._timer = None if next_due_s is None else self._loop.call_at(next_due_s, self._pump)
