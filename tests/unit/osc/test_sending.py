"""When datagrams go out, on a clock that the tests move."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from pythonosc.osc_message import OscMessage

from ugosa_server.jobs import JobState
from ugosa_server.osc.service import ProgressPublisher
from ugosa_server.osc.snapshot import JobSnapshot


class Timer:
    def __init__(self, when_s: float, action: Callable[[], None]) -> None:
        self._when_s = when_s
        self.action = action
        self.cancelled = False

    def when(self) -> float:
        return self._when_s

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of an event loop that has to do with time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when_s: float, action: Callable[..., None], *arguments: object) -> Timer:
        timer = Timer(when_s, lambda: action(*arguments))
        self._timers.append(timer)
        return timer

    def move_to(self, time_s: float) -> None:
        """Run what is due up to a time, in order."""
        while due := [one for one in self._timers if not one.cancelled and one.when() <= time_s]:
            timer = min(due, key=Timer.when)
            self._timers.remove(timer)
            self.now_s = max(self.now_s, timer.when())
            with contextlib.suppress(OSError):  # which a loop logs
                timer.action()
        self.now_s = time_s


class Publishing:
    """A publisher, its clock, and what it has sent."""

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures
        self._clock = Clock()
        self._sent: list[tuple[float, OscMessage]] = []
        loop: asyncio.AbstractEventLoop = self._clock  # type: ignore[assignment]
        self.publisher = ProgressPublisher(loop, self._send)

    def _send(self, datagram: bytes) -> None:
        if self._failures:
            self._failures -= 1
            raise OSError("no buffer")
        self._sent.append((self._clock.now_s, OscMessage(datagram)))

    def at(self, time_s: float, *snapshots: JobSnapshot, again: bool = False) -> None:
        """Publish snapshots at a time."""
        self._clock.move_to(time_s)
        for one in snapshots:
            self.publisher.publish(one, again=again)

    def sent(self, until_s: float) -> list[tuple[float, int]]:
        """Time and seq of every datagram up to a time."""
        self._clock.move_to(until_s)
        return [(time_s, message.params[1]) for time_s, message in self._sent]


def snapshot(seq: int, state: JobState = JobState.RUNNING, job_id: str = "j") -> JobSnapshot:
    return JobSnapshot(job_id, seq, state, fraction=0.5, eta_s=None, text="")


def test_first_snapshot_of_a_job_is_sent_at_once() -> None:
    publishing = Publishing()
    publishing.at(10.0, snapshot(1))
    assert publishing.sent(until_s=10.0) == [(10.0, 1)]


def test_newest_change_is_sent_at_most_four_times_a_second() -> None:
    publishing = Publishing()
    for number in range(100):  # a hundred events in a second
        publishing.at(5.0 + number / 128, snapshot(number))
    sent = [(5.0, 0), (5.25, 31), (5.5, 63), (5.75, 95), (6.0, 99)]
    assert publishing.sent(until_s=6.5) == sent


def test_live_job_without_changes_is_sent_once_a_second() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1))
    assert publishing.sent(until_s=3.5) == [(0.0, 1), (1.0, 1), (2.0, 1), (3.0, 1)]


def test_a_job_that_waits_is_sent_when_it_changes_and_no_more() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1, JobState.QUEUED))
    publishing.at(100.0, snapshot(1, JobState.QUEUED), again=True)
    publishing.at(200.0, snapshot(2, JobState.RUNNING))
    assert publishing.sent(until_s=201.5) == [(0.0, 1), (100.0, 1), (200.0, 2), (201.0, 2)]


def test_end_of_a_job_is_sent_five_times_over_two_seconds() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1))
    publishing.at(0.5, snapshot(2, JobState.SUCCEEDED))
    assert publishing.sent(until_s=100.0) == [(0.0, 1), (0.5, 2), (1.0, 2), (1.5, 2), (2.0, 2), (2.5, 2)]


def test_discarded_live_job_is_not_sent_but_an_end_is() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1, JobState.RUNNING, "gone"), snapshot(2, JobState.SUCCEEDED, "ended"))
    for job_id in ("gone", "ended", "never seen"):
        publishing.publisher.discard(job_id)
    assert publishing.sent(until_s=100.0) == [(0.0, 2), (0.5, 2), (1.0, 2), (1.5, 2), (2.0, 2)]


def test_closed_publisher_sends_nothing_more() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1), snapshot(1, JobState.FAILED, "ended"))
    publishing.publisher.close()
    assert publishing.sent(until_s=100.0) == []


def test_end_of_a_job_keeps_the_rate() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1))
    publishing.at(0.125, snapshot(2, JobState.CANCELLED))
    assert publishing.sent(until_s=0.5) == [(0.0, 1), (0.25, 2)]


def test_older_snapshot_changes_nothing() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(5, JobState.SUCCEEDED), snapshot(4), snapshot(5))
    assert publishing.sent(until_s=100.0) == [(0.0, 5), (0.5, 5), (1.0, 5), (1.5, 5), (2.0, 5)]


def test_sending_again_keeps_the_rate() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1))
    for _ in range(50):
        publishing.at(0.125, snapshot(1), again=True)
    assert publishing.sent(until_s=1.0) == [(0.0, 1), (0.25, 1)]


def test_sending_an_old_end_again_repeats_it() -> None:
    publishing = Publishing()
    publishing.at(50.0, snapshot(9, JobState.FAILED), again=True)
    assert [seq for _, seq in publishing.sent(until_s=100.0)] == [9] * 5


def test_jobs_do_not_wait_for_each_other() -> None:
    publishing = Publishing()
    publishing.at(0.0, snapshot(1, job_id="a"))
    publishing.at(0.125, snapshot(2, job_id="b"))
    assert publishing.sent(until_s=0.25) == [(0.0, 1), (0.125, 2)]


def test_datagram_that_cannot_be_sent_is_not_the_last() -> None:
    publishing = Publishing(failures=1)
    publishing.at(0.0, snapshot(1))
    assert publishing.sent(until_s=1.5) == [(1.0, 1)]
