"""Order of the queue: principals with queued jobs take turns, and each one's oldest job goes first.

One principal's night of songs so delays another's single song by one job at most. The turns are rows of the
store: a restart does not begin the round anew.
"""

from __future__ import annotations

import apsw

from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.store.rows import read_row, read_rows, read_value

QUEUED = JobState.QUEUED.value
# Steps from principal to principal along the index, however many jobs each of them has.
WAITING = f"""
    WITH RECURSIVE waiting (principal) AS (
        SELECT min(principal) FROM jobs WHERE state = '{QUEUED}'
        UNION ALL
        SELECT (SELECT min(principal) FROM jobs WHERE state = '{QUEUED}' AND principal > waiting.principal)
        FROM waiting WHERE waiting.principal IS NOT NULL
    )
"""


class Turns:
    """Reads and writes when each principal's last turn was."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def next_job(self) -> tuple[str, int] | None:
        """Return the principal whose turn it is and the number of its oldest queued job, if any."""
        return read_row(
            self._connection,
            tuple[str, int],
            f"{WAITING} SELECT waiting.principal, (SELECT min(number) FROM jobs WHERE state = ? AND"
            " principal = waiting.principal) AS number FROM waiting LEFT JOIN turns USING (principal)"
            " WHERE waiting.principal IS NOT NULL ORDER BY coalesce(turn, 0), number LIMIT 1",
            (QUEUED,),
        )

    def take(self, principal: str) -> None:
        """Note that a principal has had its turn."""
        self._connection.execute(
            "INSERT INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns WHERE true"
            " ON CONFLICT (principal) DO UPDATE SET turn = excluded.turn",
            (principal,),
        )

    def position(self, principal: str, number: int) -> int:
        """Return the place of a queued job if no other is made: 1 = next to run."""
        rows = read_rows(
            self._connection,
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
        return read_value(
            self._connection,
            int,
            f"SELECT count(*) FROM jobs WHERE state = ? AND {condition}",
            (QUEUED, *values),
        )
