"""The rows of lost runs: how often a job began to run and came to no end, without any progress kept."""

from __future__ import annotations

from typing import NamedTuple

from ugosa_server.jobs.store.rows import Table


class LostRuns(NamedTuple):
    """Runs of a job that were lost since it last kept an epoch; both 0 for most."""

    runs: int = 0
    """By a death of the server or of a worker."""
    workers: int = 0
    """Lost runs whose worker died while the server lived."""
    machine_faults: int = 0
    """Runs that ended for lack of memory, descriptors or disk; they are no fault of the job."""


class LostRunTable(Table):
    """Reads and writes lost runs."""

    def get(self, job_id: str) -> LostRuns:
        """Return the lost runs of a job."""
        row = self._db.row(
            LostRuns, "SELECT runs, workers, machine_faults FROM lost_runs WHERE job_id = ?", (job_id,)
        )
        return row or LostRuns()

    def set(self, job_id: str, lost: LostRuns) -> None:
        """Write the lost runs of a job."""
        self._db.execute("INSERT OR REPLACE INTO lost_runs VALUES (?, ?, ?, ?)", (job_id, *lost))
