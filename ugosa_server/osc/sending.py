"""Sends the newest snapshot of every job when it is due.

    changed    ----> at once, but MIN_INTERVAL_S after the last datagram of this job
    unchanged  ----> every HEARTBEAT_S, unless it only waits in the queue
    ended      ----> TERMINAL_REPEATS times, TERMINAL_INTERVAL_S apart, then never again

A slow or lost datagram is replaced by a later one, never queued.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from ugosa_server.jobs.events import JobState
from ugosa_server.osc.snapshot import JobSnapshot, encode

MIN_INTERVAL_S = 0.25
HEARTBEAT_S = 1.0
TERMINAL_REPEATS = 5
TERMINAL_INTERVAL_S = 0.5  # five datagrams over two seconds


@dataclass
class _Job:
    snapshot: JobSnapshot
    """The newest."""
    timer: asyncio.TimerHandle | None = None
    """Due time of its next datagram; None = not before a change."""
    last_sent_s: float = -math.inf
    repeats_left: int = TERMINAL_REPEATS


class ProgressPublisher:
    """Jobs that are live or have just ended, each with a timer of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[bytes], None]) -> None:
        """Publish with `send`, which must not block."""
        self._loop = loop
        self._send = send
        self._jobs: dict[str, _Job] = {}

    def publish(self, snapshot: JobSnapshot, *, again: bool = False) -> None:
        """Send a snapshot as soon as its job's rate allows.

        Args:
            snapshot: of a live or ended job; ignored if an as new one is known.
            again: send the known snapshot again, though nothing has changed.
        """
        job = self._jobs.get(snapshot.job_id)
        if job is None:
            job = self._jobs[snapshot.job_id] = _Job(snapshot)
        elif snapshot.seq > job.snapshot.seq:
            job.snapshot = snapshot
        elif not again:
            return
        due_s = max(self._loop.time(), job.last_sent_s + MIN_INTERVAL_S)
        if job.timer is None or due_s < job.timer.when():
            self._send_at(due_s, job)

    def discard(self, job_id: str) -> None:
        """Send nothing more of a live job that was deleted; the repeats of an end go on."""
        job = self._jobs.get(job_id)
        if job is not None and not job.snapshot.state.ended:
            self._drop(job)

    def close(self) -> None:
        """Send nothing more."""
        for job in list(self._jobs.values()):
            self._drop(job)

    def _drop(self, job: _Job) -> None:
        del self._jobs[job.snapshot.job_id]
        if job.timer is not None:
            job.timer.cancel()

    def _send_at(self, due_s: float, job: _Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        job.timer = self._loop.call_at(due_s, self._send_now, job)

    def _send_now(self, job: _Job) -> None:
        job.last_sent_s = self._loop.time()
        job.timer = None
        if job.snapshot.state.ended:
            job.repeats_left -= 1
        if job.repeats_left == 0:
            self._drop(job)
        elif job.snapshot.state is not JobState.QUEUED:
            interval_s = TERMINAL_INTERVAL_S if job.snapshot.state.ended else HEARTBEAT_S
            self._send_at(job.last_sent_s + interval_s, job)
        self._send(encode(job.snapshot))  # last: one that fails must not be the last of its job
