"""The checker of histories finds what it is there to find."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from tests.soak.history import History, transitions
from ugosa_client import JobState, Notice, StateChanged

NOW = datetime.now(UTC)
Q, R, C = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING
OK, GONE = JobState.SUCCEEDED, JobState.CANCELLED


def events(*steps):
    return [StateChanged("job-1", seq, attempt, NOW, state) for seq, (state, attempt) in enumerate(steps, 1)]


@pytest.mark.parametrize(
    "steps",
    [
        [(Q, 0), (R, 1), (OK, 1)],
        [(Q, 0), (R, 1), (Q, 1), (R, 2), (C, 2), (GONE, 2)],
        [(Q, 0), (GONE, 0)],
        [(Q, 0), (R, 1), (C, 1), (OK, 1)],
    ],
)
def test_what_can_be_is_passed(steps):
    assert transitions("job-1", events(*steps)) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([(R, 1)], "began as RUNNING"),
        ([(Q, 0), (OK, 0)], "from QUEUED to SUCCEEDED"),
        ([(Q, 0), (R, 1), (OK, 1), (Q, 1)], "after its end"),
        ([(Q, 0), (R, 2)], "attempt 2 began after attempt 0"),
        ([(Q, 0), (R, 1), (Q, 1), (R, 1)], "attempt 1 began after attempt 1"),
        ([(Q, 0), (R, 1), (C, 1), (Q, 1)], "from CANCELLING to QUEUED"),
    ],
)
def test_what_cannot_be_is_found(steps, words):
    assert any(words in problem for problem in transitions("job-1", events(*steps)))


def test_checker_finds_gaps_lost_jobs_and_shrunken_uploads():
    history = History()
    seen = events((Q, 0), (R, 1), (OK, 1))
    list(history.watching(seen, "job-1", 0))
    assert history.verdict([]) == []
    list(history.watching([seen[0], seen[2]], "job-1", 0))
    list(history.watching([Notice("job-1", 1, 0, NOW, "OTHER", "")], "job-1", 0))
    history.made("request", "job-1")
    history.made("request", "job-2")
    history.made("lost", "job-3")
    history.committed("upload-1", 10)
    history.committed("upload-1", 9)
    unasked = SimpleNamespace(job_id="job-9", request_id="nobody", state=R)
    problems = "\n".join(history.verdict([unasked]))
    for words in (
        "expected seq 2",
        "for one and",
        "request request made 2",
        "job-3 was acknowledged and is gone",
        "upload-1 went from 10 to 9",
        "which nobody has sent",
        "job-9 is still RUNNING",
    ):
        assert words in problems
