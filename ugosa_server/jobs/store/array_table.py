"""The rows of job arrays. An array lives as long as any of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import apsw

from ugosa_server.errors import NotFoundError, RequestIdConflictError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import JobArray, JobOptions, Upload, new_id
from ugosa_server.jobs.store.job_table import JobTable
from ugosa_server.jobs.store.schema import transaction
from ugosa_server.marks import Mark


@dataclass(frozen=True)
class JobDraft:
    """A job that was checked and can be made."""

    upload: Upload
    """COMPLETE."""
    options: JobOptions
    """Every choice made."""
    marks: tuple[Mark, ...]
    """Validated."""
    stems_bytes: int
    """The most that its stems take on disk."""


class ArrayTable:
    """Reads and writes job arrays. Every method is one transaction, durable when it returns."""

    def __init__(self, connection: apsw.Connection, jobs: JobTable) -> None:
        self._connection = connection
        self._jobs = jobs

    def find_request(self, principal: str, request_id: str, request_digest: str) -> JobArray | None:
        """Return the array that this request made before, or None.

        Raises:
            RequestIdConflictError: the request_id belongs to another request.
        """
        row = self._connection.execute(
            "SELECT array_id, request_digest FROM job_arrays WHERE principal = ? AND request_id = ?",
            (principal, request_id),
        ).fetchone()
        if row is None:
            return None
        if row[1] != request_digest:
            raise RequestIdConflictError(
                f"request_id {request_id!r} was used for a different job array; use a new one"
            )
        return self.get(principal, str(row[0]))

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
        with transaction(self._connection):
            known = self.find_request(principal, request_id, request_digest)
            if known is not None:
                return known
            array_id = new_id("array")
            self._connection.execute(
                "INSERT INTO job_arrays (array_id, principal, request_id, request_digest, create_time_s)"
                " VALUES (?, ?, ?, ?, ?)",
                (array_id, principal, request_id, request_digest, time.time()),
            )
            for number, draft in enumerate(drafts, start=1):
                admit(draft)
                self._jobs.create(
                    new_id("job"),
                    f"{array_id}/{number}",
                    "",
                    draft.upload,
                    draft.options,
                    draft.marks,
                    array_id=array_id,
                    stems_bytes=draft.stems_bytes,
                )
            return self.get(principal, array_id)

    def get(self, principal: str, array_id: str) -> JobArray:
        """Return an array of this principal.

        Raises:
            NotFoundError: there is none of that id.
        """
        row = self._connection.execute(
            "SELECT request_id, last_seq, create_time_s FROM job_arrays WHERE array_id = ? AND principal = ?",
            (array_id, principal),
        ).fetchone()
        jobs = self._connection.execute(
            "SELECT job_id, state FROM jobs WHERE array_id = ? ORDER BY number", (array_id,)
        ).fetchall()
        if row is None or not jobs:
            raise NotFoundError(f"no job array {array_id!r}")
        states = [JobState(str(state)) for _, state in jobs]
        return JobArray(
            array_id=array_id,
            principal=principal,
            request_id=str(row[0]),
            job_ids=tuple(str(job_id) for job_id, _ in jobs),
            counts={state: states.count(state) for state in JobState if state in states},
            last_seq=int(str(row[1])),
            create_time_s=float(str(row[2])),
        )
