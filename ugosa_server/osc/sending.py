"""Sends the newest snapshot of every job when it is due.

    changed    ----> at once, but MIN_INTERVAL_S after the last datagram of this job
    unchanged  ----> every HEARTBEAT_S, unless it only waits in the queue
    ended      ----> TERMINAL_REPEATS times, TERMINAL_INTERVAL_S apart, then never again

A slow or lost datagram is replaced by a later one, never queued.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ugosa_server.osc.snapshot import JobSnapshot, encode

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
    """The newest snapshot of every job that is live or has just ended; the time is passed in."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def offer(self, snapshot: JobSnapshot, now_s: float, *, again: bool = False) -> None:
        """Schedule a snapshot as soon as its job's rate allows.

        Args:
            snapshot: of a live or ended job; ignored if an as new one is known.
            now_s: the time.
            again: send the known snapshot again, though nothing has changed.
        """
        entry = self._entries.setdefault(snapshot.job_id, _Entry(snapshot, due_s=now_s))
        is_newer = snapshot.seq > entry.snapshot.seq
        if is_newer:
            entry.snapshot = snapshot
        if is_newer or again:
            earliest_s = now_s if entry.last_sent_s is None else entry.last_sent_s + MIN_INTERVAL_S
            entry.due_s = min(entry.due_s, max(now_s, earliest_s))

    def discard(self, job_id: str) -> None:
        """Drop a live job that was deleted; the repeats of an end go on."""
        entry = self._entries.get(job_id)
        if entry is not None and not entry.snapshot.ended:
            del self._entries[job_id]

    def take_due(self, now_s: float) -> list[JobSnapshot]:
        """Return the snapshots that are due now, and count them as sent."""
        due = [entry for entry in self._entries.values() if entry.due_s <= now_s]
        for entry in due:
            entry.last_sent_s = now_s
            if not entry.snapshot.ended:
                entry.due_s = math.inf if entry.snapshot.waits else now_s + HEARTBEAT_S
                continue
            entry.due_s = now_s + TERMINAL_INTERVAL_S
            entry.repeats_left -= 1
            if entry.repeats_left == 0:
                del self._entries[entry.snapshot.job_id]
        return [entry.snapshot for entry in due]

    def next_due_s(self) -> float | None:
        """Return the time at which `take_due` has something; None = not before the next offer."""
        due_s = min((entry.due_s for entry in self._entries.values()), default=math.inf)
        return None if math.isinf(due_s) else due_s


class ProgressPublisher:
    """Drives a schedule with the timer of one event loop."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """Publish with `send`, which must not block."""
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._schedule = SnapshotSchedule()
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, snapshots: Iterable[JobSnapshot], *, again: bool = False) -> None:
        """Send snapshots as soon as their rates allow; see SnapshotSchedule.offer."""
        for snapshot in snapshots:
            self._schedule.offer(snapshot, self._loop.time(), again=again)
        self._send_due()

    def discard(self, job_id: str) -> None:
        """Send nothing more of a live job that was deleted."""
        self._schedule.discard(job_id)

    def close(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._schedule = SnapshotSchedule()

    def _send_due(self) -> None:
        due = self._schedule.take_due(self._loop.time())
        if self._timer is not None:
            self._timer.cancel()
        next_due_s = self._schedule.next_due_s()  # set before sending: one that fails must not be the last
        self._timer = None if next_due_s is None else self._loop.call_at(next_due_s, self._send_due)
        for snapshot in due:
            self._send(encode(snapshot))
