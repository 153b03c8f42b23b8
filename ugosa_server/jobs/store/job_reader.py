"""The rows of jobs, read: one by one, in pages, counted, and in the order of the queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from ugosa_server.audio import SourceAudio
from ugosa_server.errors import JOB_DAMAGED_MESSAGE, StoreDamagedError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import Job
from ugosa_server.jobs.retries import LostRuns
from ugosa_server.jobs.runs import BaseStems, JobOptions, RunFailed
from ugosa_server.jobs.store.event_table import EventTable
from ugosa_server.jobs.store.rows import Database, Record, Table, Value, place_of_token, token_of_place
from ugosa_server.marks.players import PlayerPicture, VisualFrame

DAMAGED = RunFailed(StoreDamagedError.reason, JOB_DAMAGED_MESSAGE)
NEEDED: dict[str, object] = {
    "audio": SourceAudio("", 0, 0, 0, "", 0.0),
    "options": JobOptions(""),
    "marks": (),
}
"""Fields without which a job cannot be run, and what stands in place of damaged ones."""
JOB = Record(
    Job,
    {"file_name": "", "error": DAMAGED, "result": None, **NEEDED},
    without=("queue_position", "base_stems", "damaged"),
)
COLUMNS_WITHOUT_MARKS, COLUMNS = (
    JOB.columns(
        array_id="coalesce(array_id, '')",
        starred="(SELECT count(*) FROM stars WHERE stars.job_id = jobs.job_id)",
        accepted="(SELECT count(*) FROM accepted_jobs a WHERE a.job_id = jobs.job_id)",
        marks=marks,
    )
    for marks in (
        "'[]'",
        "coalesce((SELECT m.marks FROM job_marks m WHERE m.job_id = jobs.job_id), marks)",
    )
)
MAX_NUMBER = 2**62
Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
MAX_PAGE_BYTES = 1_000_000  # of JSON; a message of gRPC has at most 4 MiB

# Turn, oldest job and name of each principal that waits, in the order of their turns: steps from
# principal to principal along the index, however many jobs each of them has.
WAITING = """
    WITH RECURSIVE waiting (principal) AS (
        SELECT min(principal) FROM jobs WHERE state = ?1
        UNION ALL
        SELECT (SELECT min(principal) FROM jobs WHERE state = ?1 AND principal > waiting.principal)
        FROM waiting WHERE waiting.principal IS NOT NULL
    )
    SELECT coalesce(turn, 0) AS turn, (
        SELECT min(number) FROM jobs WHERE state = ?1 AND principal = waiting.principal
    ) AS oldest, waiting.principal
    FROM waiting LEFT JOIN turns USING (principal) WHERE waiting.principal IS NOT NULL ORDER BY turn, oldest
"""


class JobReader:
    """Reads jobs. NotFoundError is raised where a principal has none of an id."""

    def __init__(self, database: Database, events: EventTable) -> None:
        self._db = database
        self._events = events
        self._turns = Turns(database)

    def find_request(self, principal: str, request_id: str, request_digest: str) -> Job | None:
        """Return the job that this request made before, or None.

        Raises:
            RequestIdConflictError: the request_id belongs to another request.
        """
        job_id = self._db.find_request("jobs", principal, request_id, request_digest)
        return None if job_id is None else self.get(principal, job_id)

    def get(self, principal: str, job_id: str, *, marks: bool = True) -> Job:
        """Return a job of this principal; without its marks, which can be many, if so asked."""
        columns = COLUMNS if marks else COLUMNS_WITHOUT_MARKS
        return self._job(self._db.owned(tuple[Any, ...], "jobs", columns, principal, job_id))

    def with_player_frames(self, job: Job) -> Job:
        """Return a job with what it sees of the players, which is left out of it everywhere else."""
        row = self._db.row(
            tuple[bytes, bytes],
            "SELECT CAST(visual_frames AS BLOB), CAST(pictures AS BLOB) FROM job_player_frames"
            " WHERE job_id = ?",
            (job.job_id,),
        )
        if row is None:
            return job
        try:
            options = replace(
                job.options,
                visual_frames=msgspec.json.decode(row[0], type=tuple[VisualFrame, ...]),
                pictures=msgspec.json.decode(row[1], type=tuple[PlayerPicture, ...]),
            )
        except msgspec.DecodeError:
            raise StoreDamagedError(JOB_DAMAGED_MESSAGE) from None
        return replace(job, options=options)

    def state_of(self, principal: str, job_id: str) -> JobState:
        """Return a job's state."""
        return self._db.owned(tuple[JobState], "jobs", "state", principal, job_id)[0]

    def page(
        self,
        principal: str,
        states: Collection[JobState],
        token: str,
        limit: int,
        song_sha256: str = "",
    ) -> tuple[list[Job], str]:
        """Return jobs newest first, and the token of the next page; empty tokens: the first, none more.

        With a `song_sha256` they are those of one song. A page ends before `limit` where its jobs would take
        more than MAX_PAGE_BYTES.

        Raises:
            BadOptionError: the token is not one of this list.
        """
        wanted = states or tuple(JobState)
        # Row by row: those that are too much for the page are not read.
        rows = self._db.execute(
            f"SELECT {COLUMNS} FROM jobs WHERE principal = ? AND number < ?"
            f" AND state IN ({', '.join('?' * len(wanted))}) AND ? IN ('', upload_sha256)"
            " ORDER BY number DESC LIMIT ?",
            (principal, place_of_token(token, MAX_NUMBER, Number), *wanted, song_sha256, limit + 1),
        )
        page: list[Job] = []
        size_bytes = 0
        for row in rows:
            size_bytes += sum(len(value) for value in row if isinstance(value, str | bytes))
            if len(page) == limit or (page and size_bytes > MAX_PAGE_BYTES):
                return page, token_of_place(page[-1].number)
            page.append(self._job(row))
        return page, ""

    def unfinished(self, state: JobState) -> list[Job]:
        """Return all jobs in a state, oldest first, without their marks."""
        return self._select(COLUMNS_WITHOUT_MARKS, "state = ? ORDER BY number", (state,))

    def succeeded_of_song(self, principal: str, upload_sha256: str) -> list[Job]:
        """Return the jobs that SUCCEEDED with a song of these bytes, newest first, without their marks."""
        return self._select(
            COLUMNS_WITHOUT_MARKS,
            "principal = ? AND upload_sha256 = ? AND state = ? ORDER BY number DESC",
            (principal, upload_sha256, JobState.SUCCEEDED),
        )

    def find_content(self, principal: str, contents: Collection[str]) -> Job | None:
        """Return the newest job that SUCCEEDED with one of these contents (JobDraft), or None."""
        row = self._db.row(
            tuple[str],
            "SELECT job_id FROM jobs JOIN job_contents USING (job_id)"
            f" WHERE content_sha256 IN ({', '.join('?' * len(contents))}) AND principal = ? AND state = ?"
            " ORDER BY number DESC",
            (*contents, principal, JobState.SUCCEEDED),
        )
        return None if row is None else self.get(principal, row[0])

    def lost_runs(self, job_id: str) -> LostRuns:
        """Return the lost runs of a job."""
        row = self._db.row(
            LostRuns, "SELECT runs, workers, machine_faults FROM lost_runs WHERE job_id = ?", (job_id,)
        )
        return row or LostRuns()

    def all_ids(self) -> set[str]:
        """Return the ids of all jobs, for the sweep of the spool."""
        return set(self._db.strings("SELECT job_id FROM jobs"))

    def unfinished_ids(self) -> set[str]:
        """Return the ids of the jobs that have not ended, for the sweep of the spool."""
        return set(self._db.strings("SELECT job_id FROM jobs WHERE end_time_s IS NULL"))

    def count(self, state: JobState) -> int:
        """Return how many jobs are in a state."""
        return self._db.value(int, "SELECT count(*) FROM jobs WHERE state = ?", (state,))

    def _select(self, columns: str, condition: str, values: Sequence[Value]) -> list[Job]:
        rows = self._db.execute(f"SELECT {columns} FROM jobs WHERE {condition}", values).fetchall()
        return [self._job(row) for row in rows]

    def _job(self, row: Sequence[Any]) -> Job:
        values, damaged = JOB.values(row)
        if "result" in damaged:
            values.update(state=JobState.FAILED, error=DAMAGED)
        job = Job(**values, damaged=not damaged.isdisjoint(NEEDED))
        if job.state is JobState.QUEUED:
            return replace(job, queue_position=self._turns.position(job.principal, job.number))
        if job.options.base_stems is not BaseStems.NONE and not job.state.ended:
            return replace(job, base_stems=self._events.base_stems(job.job_id, job.attempt))
        return replace(job, base_stems=job.result.base_stems) if job.result else job


class Turns(Table):
    """Order of the queue: principals with queued jobs take turns, and each one's oldest job goes first.

    One principal's night of songs so delays another's single song by one job at most. The turns are rows of
    the store: a restart does not begin the round anew.
    """

    def next_job(self) -> tuple[str, int] | None:
        """Return the principal whose turn it is and the number of its oldest queued job, if any."""
        for _, oldest, principal in self._waiting():
            return principal, oldest
        return None

    def take(self, principal: str) -> None:
        """Note that a principal has had its turn."""
        self._db.execute(
            "INSERT INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns WHERE true"
            " ON CONFLICT (principal) DO UPDATE SET turn = excluded.turn",
            (principal,),
        )

    def position(self, principal: str, number: int) -> int:
        """Return the place of a queued job if no other is made: 1 = next to run."""
        position = rounds = self._count("principal = ? AND number <= ?", (principal, number))
        for _, _, other in self._waiting():
            if other == principal:
                rounds -= 1  # those after it have had one turn less by then
            else:
                position += min(rounds, self._count("principal = ?", (other,)))
        return position

    def _waiting(self) -> list[tuple[int, int, str]]:
        return self._db.rows(tuple[int, int, str], WAITING, (JobState.QUEUED,))

    def _count(self, condition: str, values: tuple[str | int, ...]) -> int:
        sql = f"SELECT count(*) FROM jobs WHERE state = ? AND {condition}"
        return self._db.value(int, sql, (JobState.QUEUED, *values))
