"""Sums over one principal or all, for quotas and metrics: how many, how large, how long."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.store.rows import Table


class EndedJob(NamedTuple):
    """The last attempt of a job that has ended, and the job's durations."""

    job_id: str
    attempt: int
    state: JobState
    end_time_s: float
    """Unix time."""
    wait_s: float | None
    """From its creation to its first start; None when it never started."""
    run_s: float | None
    """From its first start to its end; None when it never started."""


class PrincipalTotals(NamedTuple):
    """Sums of one principal, or of several."""

    principal: str
    jobs: int
    queued: int
    """Those of them that wait."""
    stored_bytes: int
    """Songs and stems on disk."""


class Totals(Table):
    """Reads sums from the store's tables."""

    def jobs(self) -> dict[JobState, int]:
        """Return how many jobs there are in each state."""
        counts = dict(self._db.rows(tuple[JobState, int], "SELECT state, count(*) FROM jobs GROUP BY state"))
        return {state: counts.get(state, 0) for state in JobState}

    def stored_bytes(self) -> tuple[int, int]:
        """Return the bytes on disk of (uploads, stems)."""
        (row,) = self._db.rows(
            tuple[int, int],
            "SELECT (SELECT coalesce(sum(stored_bytes), 0) FROM uploads),"
            " (SELECT coalesce(sum(stored_bytes), 0) FROM jobs WHERE end_time_s IS NOT NULL)",
        )
        return row

    def by_principal(self) -> list[PrincipalTotals]:
        """Return the sums of every principal that has anything here, the one who stores most first."""
        return self._db.rows(
            PrincipalTotals,
            "SELECT principal, sum(jobs), sum(queued), sum(bytes) FROM"
            " (SELECT principal, 0 AS jobs, 0 AS queued, stored_bytes AS bytes FROM uploads UNION ALL"
            " SELECT principal, 1, state = 'queued', iif(end_time_s IS NULL, 0, stored_bytes) FROM jobs)"
            " GROUP BY principal ORDER BY sum(bytes) DESC, principal",
        )

    def of_principal(self, principal: str) -> tuple[int, int, int, int]:
        """Return a principal's (uploads, their bytes, jobs that wait, bytes of stems).

        Stems count with what they take on disk, or can come to take.
        """
        (row,) = self._db.rows(
            tuple[int, int, int, int],
            "SELECT (SELECT count(*) FROM uploads WHERE principal = ?1),"
            " (SELECT coalesce(sum(stored_bytes), 0) FROM uploads WHERE principal = ?1),"
            " (SELECT count(*) FROM jobs WHERE principal = ?1 AND state = ?2),"
            " (SELECT coalesce(sum(stored_bytes), 0) FROM jobs WHERE principal = ?1)",
            (principal, JobState.QUEUED),
        )
        return row

    def ended_after(self, time_s: float) -> list[EndedJob]:
        """Return the jobs that ended after a time, in the order of their ends."""
        return self._db.rows(
            EndedJob,
            "SELECT job_id, attempt, state, end_time_s, start_time_s - create_time_s,"
            " end_time_s - start_time_s FROM jobs WHERE end_time_s > ? ORDER BY end_time_s",
            (time_s,),
        )

    def phases_s(self, job: EndedJob) -> dict[str, float]:
        """Return the durations of an attempt's phases.

        A phase goes from its first progress to the first of the next one, or to the end.
        """
        starts = self._db.rows(
            tuple[str, float],
            "SELECT json_extract(body, '$.phase'), min(time_s) FROM events"
            " WHERE job_id = ? AND attempt = ? AND kind = 'progress' GROUP BY 1 ORDER BY 2",
            (job.job_id, job.attempt),
        )
        times = [*starts, ("end", job.end_time_s)]
        return {phase: max(0.0, until_s - start_s) for (phase, start_s), (_, until_s) in pairwise(times)}
