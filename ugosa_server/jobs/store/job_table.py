"""The rows of jobs, and the transitions between their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ugosa_server.errors import JobInUseError, JobNotFinishedError, JobStartedError
from ugosa_server.jobs.events import EventBody, JobState, StateChanged
from ugosa_server.jobs.model import Job, JobDraft
from ugosa_server.jobs.retries import LostRuns
from ugosa_server.jobs.runs import RunEnd, RunFailed, RunNotice, RunSucceeded
from ugosa_server.jobs.store.clock_table import ClockTable
from ugosa_server.jobs.store.event_table import EventTable
from ugosa_server.jobs.store.job_reader import COLUMNS_WITHOUT_MARKS, JobReader
from ugosa_server.jobs.store.rows import START_FROM, Database
from ugosa_server.marks import Mark

NO_LOST_RUNS = LostRuns()


class JobTable(JobReader):
    """Reads and writes jobs. Every method is one transaction, durable when it returns.

    NotFoundError is raised where a principal has none of an id.
    """

    def __init__(self, database: Database, events: EventTable, clock: ClockTable) -> None:
        super().__init__(database, events)
        self._clock = clock

    def create(
        self,
        job_id: str,
        request_id: str,
        request_digest: str,
        draft: JobDraft,
        admit: Callable[[], None] = lambda: None,
        array_id: str | None = None,
    ) -> Job:
        """Insert a QUEUED job with its first event, or return the one that the same request made before.

        `admit` is called before anything is inserted and raises what speaks against it.

        Raises:
            NotFoundError: the upload, the video, or what it starts from has been deleted meanwhile.
        """
        upload, options = draft.upload, draft.options
        with self._db.transaction():
            known = self.find_request(upload.principal, request_id, request_digest)
            if known is not None:
                return known
            admit()
            if options.start_from.startswith("job-"):
                self.state_of(upload.principal, options.start_from)
            needed = [upload.upload_id, *([options.video.upload_id] if options.video else [])]
            for upload_id in needed + [options.start_from] * options.start_from.startswith("upload-"):
                self._db.owned(tuple[int], "uploads", "1", upload.principal, upload_id)
            self._db.insert(
                "jobs",
                job_id=job_id,
                principal=upload.principal,
                request_id=request_id,
                request_digest=request_digest,
                array_id=array_id,
                upload_id=upload.upload_id,
                upload_sha256=upload.sha256,
                video_upload_id=options.video.upload_id if options.video else None,
                file_name=upload.format.file_name,
                audio=upload.audio,
                options=replace(options, visual_frames=(), pictures=()),
                marks=(),  # they and the frames are beside the row
                state=JobState.QUEUED,
                stored_bytes=draft.stems_bytes,
                create_time_s=self._clock.stamp_s(),
            )
            self._db.insert("job_marks", job_id=job_id, marks=draft.marks)
            if options.visual_frames or options.pictures:
                self._db.insert(
                    "job_player_frames",
                    job_id=job_id,
                    visual_frames=options.visual_frames,
                    pictures=options.pictures,
                )
            if draft.content_sha256:
                self._db.insert("job_contents", job_id=job_id, content_sha256=draft.content_sha256)
            self._events.append(job_id, 0, StateChanged(JobState.QUEUED))
            return self.get(upload.principal, job_id)

    def set_marks(
        self,
        principal: str,
        job_id: str,
        marks: tuple[Mark, ...],
        stems_bytes: int = 0,
        admit: Callable[[int], None] = lambda more_bytes: None,
    ) -> Job:
        """Replace the marks of a QUEUED job, and `stems_bytes` with them.

        `admit` is called before with the bytes that it will count more, and raises what speaks against it.

        Raises:
            JobStartedError: it is no longer QUEUED.
        """
        with self._db.transaction():
            state = self.state_of(principal, job_id)
            if state is not JobState.QUEUED:
                raise JobStartedError(
                    f"job {job_id} is {state.value}; marks can be replaced only while it is queued:"
                    " make a new job of the same upload"
                )
            stored = self._db.value(int, "SELECT stored_bytes FROM jobs WHERE job_id = ?", (job_id,))
            admit(stems_bytes - stored)
            self._db.update("jobs", job_id, stored_bytes=stems_bytes)
            self._db.execute("DELETE FROM job_marks WHERE job_id = ?", (job_id,))
            self._db.insert("job_marks", job_id=job_id, marks=marks)
            self._db.execute("DELETE FROM job_contents WHERE job_id = ?", (job_id,))
            return self.get(principal, job_id)

    def claim_next(self) -> Job | None:
        """Move the QUEUED job whose turn it is to RUNNING as a new attempt, or return None."""
        with self._db.transaction():
            next_job = self._turns.next_job()
            if next_job is None:
                return None
            principal, number = next_job
            self._turns.take(principal)
            ((job_id, attempt),) = self._db.rows(
                tuple[str, int],
                "UPDATE jobs SET state = ?, attempt = attempt + 1, fraction = 0,"
                " start_time_s = coalesce(start_time_s, max(?, create_time_s)) WHERE number = ?"
                " RETURNING job_id, attempt",
                (JobState.RUNNING, self._clock.stamp_s(), number),
            )
            self._events.append(job_id, attempt, StateChanged(JobState.RUNNING))
            return self.get(principal, job_id)

    def append_event(self, job_id: str, attempt: int, body: EventBody) -> bool:
        """Append an event of a run; False (nothing written) when the attempt is stale or the job ended."""
        with self._db.transaction():
            if not self._is_live(job_id, attempt):
                return False
            self._events.append(job_id, attempt, body)
            return True

    def end(self, job_id: str, attempt: int, ending: RunEnd) -> JobState | None:
        """Move a RUNNING or CANCELLING job to the state of its run's end; None when the attempt is stale."""
        with self._db.transaction():
            if not self._is_live(job_id, attempt):
                return None
            end_time_s = self._db.value(  # not before its start, also under a clock that was set back
                float,
                "SELECT max(?, start_time_s) FROM jobs WHERE job_id = ?",
                (self._clock.stamp_s(), job_id),
            )
            columns: dict[str, object] = {"end_time_s": end_time_s, "stored_bytes": 0}
            if isinstance(ending, RunSucceeded):
                changed = StateChanged(JobState.SUCCEEDED)
                columns |= {"result": ending, "stored_bytes": ending.stored_bytes, "fraction": 1.0}
            elif isinstance(ending, RunFailed):
                changed = StateChanged(JobState.FAILED, ending)
                columns["error"] = ending
            else:
                changed = StateChanged(JobState.CANCELLED)
            self._enter(job_id, attempt, changed, **columns)
            return changed.state

    def requeue(self, job_id: str, attempt: int, notice: RunNotice, lost: LostRuns = NO_LOST_RUNS) -> bool:
        """Put a RUNNING job back into its place in the queue, saying why; False when it is not RUNNING so.

        `lost` replaces the lost runs of the job.
        """
        with self._db.transaction():
            if not self._is_live(job_id, attempt, (JobState.RUNNING,)):
                return False
            self._db.execute("INSERT OR REPLACE INTO lost_runs VALUES (?, ?, ?, ?)", (job_id, *lost))
            self._events.append(job_id, attempt, notice)
            self._enter(job_id, attempt, StateChanged(JobState.QUEUED), fraction=0.0)
            return True

    def request_cancel(self, principal: str, job_id: str) -> Job:
        """Make a QUEUED job CANCELLED and a RUNNING one CANCELLING; leave others as they are."""
        with self._db.transaction():
            job = self.get(principal, job_id)
            if job.state is JobState.QUEUED:
                ended = StateChanged(JobState.CANCELLED)
                self._enter(job_id, job.attempt, ended, end_time_s=self._clock.stamp_s(), stored_bytes=0)
            elif job.state is JobState.RUNNING:
                self._enter(job_id, job.attempt, StateChanged(JobState.CANCELLING))
            return self.get(principal, job_id)

    def request_accept(self, principal: str, job_id: str) -> Job:
        """Note that a job is to learn no more; leave one that is ending or has ended as it is."""
        with self._db.transaction():
            if self.state_of(principal, job_id) in (JobState.QUEUED, JobState.RUNNING):
                self._db.execute("INSERT OR IGNORE INTO accepted_jobs VALUES (?)", (job_id,))
                # Its stems will not be those that an equal request asks for.
                self._db.execute("DELETE FROM job_contents WHERE job_id = ?", (job_id,))
            return self.get(principal, job_id)

    def cancel_all(self, principal: str) -> int:
        """Ask all jobs of a principal that have not ended to end, and return how many there were."""
        with self._db.transaction():
            job_ids = self._db.strings(
                "SELECT job_id FROM jobs WHERE principal = ? AND end_time_s IS NULL", (principal,)
            )
            for job_id in job_ids:
                self.request_cancel(principal, job_id)
            return len(job_ids)

    def star(self, principal: str, job_id: str, *, starred: bool) -> Job:
        """Keep a job for ever, or no longer."""
        with self._db.transaction():
            self.state_of(principal, job_id)
            self._db.execute(
                "INSERT OR IGNORE INTO stars VALUES (?)" if starred else "DELETE FROM stars WHERE job_id = ?",
                (job_id,),
            )
            return self.get(principal, job_id)

    def delete(self, principal: str, job_id: str) -> None:
        """Remove an ended job with its events.

        Raises:
            JobNotFinishedError: it has not ended.
            JobInUseError: a job that has not ended starts from it.
        """
        with self._db.transaction():
            state = self.state_of(principal, job_id)
            if not state.ended:
                raise JobNotFinishedError(f"job {job_id} is {state.value}; cancel it first")
            needing = self._db.strings(
                f"SELECT job_id FROM jobs WHERE end_time_s IS NULL AND {START_FROM} = ?", (job_id,)
            )
            if needing:
                raise JobInUseError(
                    f"job {needing[0]} starts from job {job_id}; cancel it or wait for its end"
                )
            self._delete(job_id)

    def sweep_ended(self, before_s: float, adapters_before_s: float) -> tuple[list[str], list[Job]]:
        """Remove the jobs that ended before a time; return their ids, and the jobs of which an adapter stays.

        Starred ones stay as they are.
        A job with an adapter stays without its stems until it ended before `adapters_before_s` too. Its
        request_id is free for a new job then, as that of a removed one is.
        """
        with self._db.transaction():
            ended = self._select(
                COLUMNS_WITHOUT_MARKS,
                "end_time_s < ? AND job_id NOT IN (SELECT job_id FROM stars)"
                f" AND job_id NOT IN (SELECT {START_FROM} FROM jobs WHERE end_time_s IS NULL)",
                (before_s,),
            )
            gone, kept = [], []
            for job in ended:
                assert job.end_time_s is not None
                if job.end_time_s >= adapters_before_s and job.result and job.result.adapter:
                    kept.append(job)
                    self._keep_adapter_alone(job)
                else:
                    gone.append(job.job_id)
                    self._delete(job.job_id)
            return gone, kept

    def _keep_adapter_alone(self, job: Job) -> None:
        if job.result is None or not job.result.stems:
            return
        result = replace(job.result, stems=(), base_stems=(), report_json="", report_html="", levels="")
        self._db.update("jobs", job.job_id, result=result, stored_bytes=0, request_id=job.job_id)
        self._db.execute("DELETE FROM job_contents WHERE job_id = ?", (job.job_id,))

    def _delete(self, job_id: str) -> None:
        """Remove a job with its events; the last one of an array takes the array along."""
        self._events.delete(job_id)
        self._db.execute("DELETE FROM job_player_frames WHERE job_id = ?", (job_id,))
        (row,) = self._db.execute("DELETE FROM jobs WHERE job_id = ? RETURNING array_id", (job_id,))
        self._db.execute(
            "DELETE FROM job_arrays WHERE array_id = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM jobs WHERE array_id = ?1)",
            row,
        )

    def _enter(self, job_id: str, attempt: int, event: StateChanged, **columns: object) -> None:
        """Move a job to a state: in its row, with other columns of it, and by an event."""
        self._db.update("jobs", job_id, state=event.state, **columns)
        self._events.append(job_id, attempt, event)

    def _is_live(
        self,
        job_id: str,
        attempt: int,
        states: tuple[JobState, ...] = (JobState.RUNNING, JobState.CANCELLING),
    ) -> bool:
        row = self._db.row(
            tuple[JobState], "SELECT state FROM jobs WHERE job_id = ? AND attempt = ?", (job_id, attempt)
        )
        return row is not None and row[0] in states
