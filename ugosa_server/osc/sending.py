"""Drives the schedule with the event loop's clock: what is due goes to every target.

When which snapshot is sent: no sockets and no clock, the time is passed in.

    changed    ----> at once, but MIN_INTERVAL_S after the last datagram of this job
    unchanged  ----> every HEARTBEAT_S
    ended      ----> TERMINAL_REPEATS times, TERMINAL_INTERVAL_S apart, then forgotten

Only the newest snapshot of a job is kept: a slow or lost datagram is replaced by a later one, never queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ugosa_server.osc.peers import Address
from ugosa_server.osc.snapshot import JobSnapshot, encode


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


MIN_INTERVAL_S = 0.25
HEARTBEAT_S = 1.0
TERMINAL_REPEATS = 5
TERMINAL_INTERVAL_S = 0.5  # five datagrams over two seconds


@dataclass
class _Entry:
    snapshot: JobSnapshot
    due_s: float
    last_sent_s: float | None = None
    repeats_left: int = TERMINAL_REPEATS


class SnapshotSchedule:
    """The newest snapshot of every job that is live or has just ended."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def offer(self, snapshot: JobSnapshot, now_s: float) -> None:
        """Take a snapshot; one that is not newer than what is known changes nothing."""
        entry = self._entries.get(snapshot.job_id)
        if entry is None:
            self._entries[snapshot.job_id] = _Entry(snapshot, due_s=now_s)
        elif snapshot.seq > entry.snapshot.seq:
            entry.snapshot = snapshot
            self._hasten(entry, now_s)

    def ask(self, snapshot: JobSnapshot, now_s: float) -> None:
        """Have a job sent as soon as its rate allows, even if nothing changed."""
        self.offer(snapshot, now_s)
        self._hasten(self._entries[snapshot.job_id], now_s)

    def forget(self, job_id: str) -> None:
        """Send nothing more of a live job that was deleted; an end that is being told is told to its end."""
        entry = self._entries.get(job_id)
        if entry is not None and not entry.snapshot.ended:
            del self._entries[job_id]

    def take_due(self, now_s: float) -> list[JobSnapshot]:
        """Return what is to be sent now, and count it as sent."""
        due = [entry for entry in self._entries.values() if entry.due_s <= now_s]
        for entry in due:
            entry.last_sent_s = now_s
            if not entry.snapshot.ended:
                entry.due_s = now_s + HEARTBEAT_S
                continue
            entry.due_s = now_s + TERMINAL_INTERVAL_S
            entry.repeats_left -= 1
            if entry.repeats_left == 0:
                del self._entries[entry.snapshot.job_id]
        return [entry.snapshot for entry in due]

    def next_due_s(self) -> float | None:
        """Return when `take_due` has something; None = not before the next offer."""
        return min((entry.due_s for entry in self._entries.values()), default=None)

    @staticmethod
    def _hasten(entry: _Entry, now_s: float) -> None:
        earliest_s = now_s if entry.last_sent_s is None else entry.last_sent_s + MIN_INTERVAL_S
        entry.due_s = min(entry.due_s, max(now_s, earliest_s))
