"""The rows of events: append-only, numbered without gaps per job."""

from __future__ import annotations

import time
from typing import NamedTuple

from ugosa_server.errors import StoreDamagedError
from ugosa_server.jobs.events import EventBody, JobEvent, StateChanged
from ugosa_server.jobs.runs import RunBaseStems, RunNotice, RunPreview, RunProgress, StemFile
from ugosa_server.jobs.store.rows import Table, from_json

KINDS: dict[str, type[EventBody]] = {
    "state": StateChanged,
    "progress": RunProgress,
    "notice": RunNotice,
    "base_stems": RunBaseStems,
    "preview": RunPreview,
}
DAMAGED = RunNotice(
    StoreDamagedError.reason, "what the server's database held of this event is damaged", warning=True
)
KIND_OF_TYPE = {body_type: kind for kind, body_type in KINDS.items()}
COLUMNS = "job_id, seq, attempt, time_s, kind, CAST(body AS BLOB)"


class EventRow(NamedTuple):
    """The columns of an event that are read; `body` is JSON of the type that `kind` names."""

    job_id: str
    seq: int
    attempt: int
    time_s: float
    kind: str
    body: bytes
    array_seq: int = 0
    """Number in its array, where that was asked for."""


class EventTable(Table):
    """Reads and writes events."""

    def append(self, job_id: str, attempt: int, body: EventBody) -> None:
        """Append an event and move the job's `last_seq` (and `fraction`) with it, in one transaction."""
        with self._db.transaction():
            ((seq, array_id),) = self._db.rows(
                tuple[int, str | None],
                "UPDATE jobs SET last_seq = last_seq + 1 WHERE job_id = ? RETURNING last_seq, array_id",
                (job_id,),
            )
            self._db.insert(
                "events",
                job_id=job_id,
                seq=seq,
                attempt=attempt,
                time_s=time.time(),
                kind=KIND_OF_TYPE[type(body)],
                body=body,
            )
            if array_id is not None:
                self._db.execute(
                    "INSERT INTO array_events SELECT array_id, last_seq + 1, ?, ? FROM job_arrays"
                    " WHERE array_id = ?",
                    (job_id, seq, array_id),
                )
                self._db.execute(
                    "UPDATE job_arrays SET last_seq = last_seq + 1 WHERE array_id = ?", (array_id,)
                )
            if isinstance(body, RunProgress):
                self._db.update("jobs", job_id, fraction=body.fraction)

    def after(self, job_id: str, seq: int, limit: int) -> list[JobEvent]:
        """Return at most `limit` events with a larger sequence number, in order."""
        rows = self._db.rows(
            EventRow,
            f"SELECT {COLUMNS} FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (job_id, seq, limit),
        )
        return [_event(row) for row in rows]

    def base_stems(self, job_id: str, attempt: int) -> tuple[StemFile, ...]:
        """Return the stems of the unadapted network in an attempt; none without its event."""
        found = self._newest(job_id, attempt, "base_stems", 1)
        return next((body.stems for body in found if isinstance(body, RunBaseStems)), ())

    def previews(self, job_id: str, attempt: int) -> list[RunPreview]:
        """Return the previews of an attempt that are on disk: the newest, and the one before it."""
        return [body for body in self._newest(job_id, attempt, "preview", 2) if isinstance(body, RunPreview)]

    def _newest(self, job_id: str, attempt: int, kind: str, limit: int) -> list[EventBody]:
        rows = self._db.rows(
            EventRow,
            f"SELECT {COLUMNS} FROM events WHERE job_id = ? AND attempt = ? AND kind = ?"
            " ORDER BY seq DESC LIMIT ?",
            (job_id, attempt, kind, limit),
        )
        return [_event(row).body for row in rows]

    def after_in_array(self, array_id: str, array_seq: int, limit: int) -> list[tuple[int, JobEvent]]:
        """Return at most `limit` events of an array's jobs with a larger array_seq, and that, in order."""
        rows = self._db.rows(
            EventRow,
            f"SELECT {COLUMNS}, array_seq FROM array_events JOIN events USING (job_id, seq)"
            " WHERE array_id = ? AND array_seq > ? ORDER BY array_seq LIMIT ?",
            (array_id, array_seq, limit),
        )
        return [(row.array_seq, _event(row)) for row in rows]

    def has_progress(self, job_id: str, attempt: int) -> bool:
        """Return whether a worker has begun with an attempt of a job: its first step is an event."""
        count = self._db.value(
            int,
            "SELECT count(*) FROM events WHERE job_id = ? AND attempt = ? AND kind = 'progress'",
            (job_id, attempt),
        )
        return count > 0

    def delete(self, job_id: str) -> None:
        """Remove a job's events, also from its array."""
        self._db.execute("DELETE FROM events WHERE job_id = ?", (job_id,))
        self._db.execute("DELETE FROM array_events WHERE job_id = ?", (job_id,))


def _event(row: EventRow) -> JobEvent:
    name = f"event {row.seq} of job {row.job_id}"
    body = from_json(row.body, KINDS.get(row.kind, RunNotice), name) or DAMAGED
    return JobEvent(row.job_id, row.seq, row.attempt, row.time_s, body)
