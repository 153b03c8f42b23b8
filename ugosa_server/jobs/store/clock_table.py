"""The row of the clock: when it was last believed, so that nothing is deleted by a clock that is wrong."""

from __future__ import annotations

import time

from ugosa_server.jobs.store.rows import Table

MAX_STEP_S = 86_400.0  # a longer one has to prove itself for as long


class ClockTable(Table):
    """Reads and writes the clock. Every method is one transaction, durable when it returns."""

    def believe(self, now_s: float) -> bool:
        """Note the time (Unix) and return whether it can be believed.

        It can within a day of the last time that was, or of the newest row. After a longer step, as when the
        server was off for weeks or the clock is wrong, it can once a further day has gone by on it, unless it
        is before all that is here. Songs and jobs that came while the clock was behind are as old as the
        proof then.
        """
        with self._db.transaction():
            seen_s, doubted_s = self._read()
            steps = seen_s > 0 and abs(now_s - seen_s) > MAX_STEP_S
            proved = doubted_s is not None and now_s - doubted_s >= MAX_STEP_S
            if steps and now_s < self._oldest_s():
                return False
            if steps and not proved:
                if doubted_s is None or now_s < doubted_s:
                    self._write(seen_s, now_s)
                return False
            if steps and now_s > seen_s:
                self._date_anew(seen_s, now_s)
            self._write(now_s if steps else max(now_s, seen_s), None)
            return True

    def stamp_s(self) -> float:
        """Return the time now for a new row, but never one before the last time that was believed."""
        row = self._db.row(tuple[float], "SELECT seen_s FROM clock")
        return max(time.time(), row[0] if row else 0.0)

    def _date_anew(self, since_s: float, now_s: float) -> None:
        """Date what has come since a time as of now: its age on a clock that was behind means nothing."""
        for table, column in (("uploads", "create_time_s"), ("jobs", "end_time_s")):
            self._db.execute(
                f"UPDATE {table} SET {column} = ?1 WHERE {column} BETWEEN ?2 AND ?1", (now_s, since_s)
            )

    def _oldest_s(self) -> float:
        return self._db.value(
            float,
            "SELECT coalesce(min(time_s), 0.0) FROM (SELECT min(create_time_s) AS time_s FROM uploads"
            " UNION ALL SELECT min(create_time_s) FROM jobs)",
        )

    def latest_s(self) -> float:
        """Return the time now, or the last one believed if later: a clock set back revives nothing."""
        return max(time.time(), self._read()[0])

    def _read(self) -> tuple[float, float | None]:
        if not self._db.value(
            int, "SELECT count(*) FROM sqlite_schema WHERE name = 'clock'"
        ):  # a store of an earlier version that is only read
            return 0.0, None
        row = self._db.row(tuple[float, float | None], "SELECT seen_s, doubted_s FROM clock")
        if row is not None:
            return row
        newest_s = self._db.value(
            float,
            "SELECT coalesce(max(time_s), 0.0) FROM (SELECT max(create_time_s) AS time_s FROM uploads"
            " UNION ALL SELECT max(create_time_s) FROM jobs UNION ALL SELECT max(end_time_s) FROM jobs)",
        )
        return newest_s, None

    def _write(self, seen_s: float, doubted_s: float | None) -> None:
        self._db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", (seen_s, doubted_s))
