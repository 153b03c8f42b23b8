"""Order of the queue: principals with queued jobs take turns, and each one's oldest job goes first.

One principal's night of songs so delays another's single song by one job at most. The turns are rows of the
store: a restart does not begin the round anew.
"""

from __future__ import annotations

from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.store.rows import Table

QUEUED = JobState.QUEUED
# Steps from principal to principal along the index, however many jobs each of them has.
WAITING = f"""
    WITH RECURSIVE waiting (principal) AS (
        SELECT min(principal) FROM jobs WHERE state = '{QUEUED}'
        UNION ALL
        SELECT (SELECT min(principal) FROM jobs WHERE state = '{QUEUED}' AND principal > waiting.principal)
        FROM waiting WHERE waiting.principal IS NOT NULL
    )
"""


class Turns(Table):
    """Reads and writes when each principal's last turn was."""

    def next_job(self) -> tuple[str, int] | None:
        """Return the principal whose turn it is and the number of its oldest queued job, if any."""
        return self._db.row(
            tuple[str, int],
            f"{WAITING} SELECT waiting.principal, (SELECT min(number) FROM jobs WHERE state = ? AND"
            " principal = waiting.principal) AS number FROM waiting LEFT JOIN turns USING (principal)"
            " WHERE waiting.principal IS NOT NULL ORDER BY coalesce(turn, 0), number LIMIT 1",
            (QUEUED,),
        )

    def take(self, principal: str) -> None:
        """Note that a principal has had its turn."""
        self._db.execute(
            "INSERT INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns WHERE true"
            " ON CONFLICT (principal) DO UPDATE SET turn = excluded.turn",
            (principal,),
        )

    def position(self, principal: str, number: int) -> int:
        """Return the place of a queued job if no other is made: 1 = next to run."""
        rows = self._db.rows(
            tuple[str, int, int],
            f"{WAITING} SELECT waiting.principal, coalesce(turn, 0), (SELECT min(number) FROM jobs WHERE"
            " state = ? AND principal = waiting.principal) FROM waiting LEFT JOIN turns USING (principal)"
            " WHERE waiting.principal IS NOT NULL",
            (QUEUED,),
        )
        order = {other: (turn, oldest) for other, turn, oldest in rows}
        rounds = self._count("principal = ? AND number <= ?", (principal, number))
        position = rounds
        for other, turn in order.items():
            if other != principal:
                in_time = rounds if turn < order[principal] else rounds - 1
                position += min(in_time, self._count("principal = ?", (other,)))
        return position

    def _count(self, condition: str, values: tuple[str | int, ...]) -> int:
        return self._db.value(
            int, f"SELECT count(*) FROM jobs WHERE state = ? AND {condition}", (QUEUED, *values)
        )
