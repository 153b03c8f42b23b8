"""The rows of job arrays. An array lives as long as any of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import JobArray, JobDraft, new_id
from ugosa_server.jobs.store.job_table import JobTable
from ugosa_server.jobs.store.rows import Database


class ArrayTable:
    """Reads and writes job arrays. Every method is one transaction, durable when it returns.

    NotFoundError is raised where a principal has none of an id.
    """

    def __init__(self, database: Database, jobs: JobTable) -> None:
        self._db = database
        self._jobs = jobs

    def find_request(self, principal: str, request_id: str, request_digest: str) -> JobArray | None:
        """Return the array that this request made before, or None.

        Raises:
            RequestIdConflictError: the request_id belongs to another request.
        """
        array_id = self._db.find_request("job_arrays", principal, request_id, request_digest)
        return None if array_id is None else self.get(principal, array_id)

    def create(
        self,
        principal: str,
        request_id: str,
        request_digest: str,
        drafts: Sequence[JobDraft],
        admit: Callable[[JobDraft], None],
    ) -> JobArray:
        """Make an array and all its jobs, or return the one that the same request made before.

        `admit` is called before each job is made and raises what speaks against it; then nothing is made.
        """
        with self._db.transaction():
            known = self.find_request(principal, request_id, request_digest)
            if known is not None:
                return known
            array_id = new_id("array")
            self._db.insert(
                "job_arrays",
                array_id=array_id,
                principal=principal,
                request_id=request_id,
                request_digest=request_digest,
                create_time_s=time.time(),
            )
            for number, draft in enumerate(drafts, start=1):
                admit(draft)
                self._jobs.create(new_id("job"), f"{array_id}/{number}", "", draft, array_id=array_id)
            return self.get(principal, array_id)

    def has_ended(self, principal: str, array_id: str) -> bool:
        """Return whether all jobs of an array have ended; cheap while one of the first has not."""
        unfinished = "SELECT 1 FROM jobs WHERE jobs.array_id = job_arrays.array_id AND end_time_s IS NULL"
        ended = f"NOT EXISTS ({unfinished})"
        return self._db.owned(tuple[int], "job_arrays", ended, principal, array_id)[0] == 1

    def get(self, principal: str, array_id: str) -> JobArray:
        """Return an array of this principal."""
        columns = "request_id, last_seq, create_time_s"
        row = self._db.owned(tuple[str, int, float], "job_arrays", columns, principal, array_id)
        jobs = self._db.rows(
            tuple[str, JobState],
            "SELECT job_id, state FROM jobs WHERE array_id = ? ORDER BY number",
            (array_id,),
        )
        job_ids, states = zip(*jobs, strict=True)  # the last job takes its array along
        counts = {state: states.count(state) for state in JobState if state in states}
        request_id, last_seq, create_time_s = row
        return JobArray(array_id, principal, request_id, job_ids, counts, last_seq, create_time_s)
