"""When datagrams go out, at times that the tests choose."""

from ugosa_server.osc.sending import SnapshotSchedule
from ugosa_server.osc.snapshot import JobSnapshot


def snapshot(seq: int, state: str = "RUNNING", job_id: str = "j") -> JobSnapshot:
    return JobSnapshot(job_id, seq, state, fraction=0.5, eta_s=None, text="")


def run(schedule: SnapshotSchedule, until_s: float) -> list[tuple[float, int]]:
    """Take everything when it is due, as a driver does: [(time, seq)]."""
    sent: list[tuple[float, int]] = []
    while (due_s := schedule.next_due_s()) is not None and due_s <= until_s:
        sent += [(due_s, taken.seq) for taken in schedule.take_due(due_s)]
    return sent


def test_first_snapshot_of_a_job_is_sent_at_once() -> None:
    schedule = SnapshotSchedule()
    assert schedule.next_due_s() is None
    schedule.offer(snapshot(1), now_s=10.0)
    assert run(schedule, until_s=10.0) == [(10.0, 1)]


def test_newest_change_is_sent_at_most_four_times_a_second() -> None:
    schedule = SnapshotSchedule()
    sent = []
    for seq in range(1, 101):  # a hundred events in a second
        now_s = 5.0 + (seq - 1) / 100
        schedule.offer(snapshot(seq), now_s)
        sent += [(now_s, taken.seq) for taken in schedule.take_due(now_s)]
    assert sent == [(5.0, 1), (5.25, 26), (5.5, 51), (5.75, 76)]
    assert run(schedule, until_s=6.0) == [(6.0, 100)]


def test_live_job_without_changes_is_sent_once_a_second() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(1), now_s=0.0)
    assert run(schedule, until_s=3.5) == [(0.0, 1), (1.0, 1), (2.0, 1), (3.0, 1)]


def test_a_job_that_waits_is_sent_when_it_changes_and_no_more() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(1, "QUEUED"), now_s=0.0)
    assert run(schedule, until_s=100.0) == [(0.0, 1)]
    assert schedule.next_due_s() is None
    schedule.offer(snapshot(1, "QUEUED"), now_s=100.0, again=True)
    schedule.offer(snapshot(2, "RUNNING"), now_s=100.0)
    assert run(schedule, until_s=101.5) == [(100.0, 2), (101.0, 2)]


def test_end_of_a_job_is_sent_five_times_over_two_seconds() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(1), now_s=0.0)
    assert run(schedule, until_s=0.5) == [(0.0, 1)]
    schedule.offer(snapshot(2, "SUCCEEDED"), now_s=0.5)
    assert run(schedule, until_s=100.0) == [(0.5, 2), (1.0, 2), (1.5, 2), (2.0, 2), (2.5, 2)]
    assert schedule.next_due_s() is None


def test_discarded_live_job_is_not_sent_but_an_end_is() -> None:
    schedule = SnapshotSchedule()
    for job_id, state in (("gone", "RUNNING"), ("ended", "SUCCEEDED")):
        schedule.offer(snapshot(1, state, job_id), now_s=0.0)
    for job_id in ("gone", "ended", "never seen"):
        schedule.discard(job_id)
    assert run(schedule, until_s=100.0) == [(0.0, 1), (0.5, 1), (1.0, 1), (1.5, 1), (2.0, 1)]


def test_end_of_a_job_keeps_the_rate() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(1), now_s=0.0)
    schedule.take_due(0.0)
    schedule.offer(snapshot(2, "CANCELLED"), now_s=0.125)
    assert schedule.take_due(0.125) == []
    assert run(schedule, until_s=100.0)[0] == (0.25, 2)


def test_older_snapshot_changes_nothing() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(5, "SUCCEEDED"), now_s=0.0)
    schedule.offer(snapshot(4, "RUNNING"), now_s=0.0)
    schedule.offer(snapshot(5, "RUNNING"), now_s=0.0)
    assert [taken.state for taken in schedule.take_due(0.0)] == ["SUCCEEDED"]
    assert schedule.next_due_s() == 0.5


def test_sending_again_keeps_the_rate() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(1), now_s=0.0)
    schedule.take_due(0.0)
    for _ in range(50):
        schedule.offer(snapshot(1), now_s=0.125, again=True)
    assert run(schedule, until_s=1.0) == [(0.25, 1)]


def test_sending_an_old_end_again_repeats_it() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(9, "FAILED"), now_s=50.0, again=True)
    assert [seq for _, seq in run(schedule, until_s=100.0)] == [9] * 5


def test_jobs_do_not_wait_for_each_other() -> None:
    schedule = SnapshotSchedule()
    schedule.offer(snapshot(1, job_id="a"), now_s=0.0)
    schedule.take_due(0.0)
    schedule.offer(snapshot(1, job_id="b"), now_s=0.1)
    assert [taken.job_id for taken in schedule.take_due(0.1)] == ["b"]
