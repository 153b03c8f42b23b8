"""Calls about jobs: create, get, list, watch, cancel, accept, delete."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from ugosa_client.connection import Connection
from ugosa_client.convert import from_marks, from_options, from_states, to_event, to_job, to_resource
from ugosa_client.errors import JobCancelledError, JobFailedError
from ugosa_client.events import JobEvent
from ugosa_client.resources import MODEL_DEFAULTS, Job, JobOptions, JobState, Mark, Model
from ugosa_client.wire.ugosa.v1 import job_service_pb2, model_service_pb2


def create_job(
    connection: Connection,
    upload_id: str,
    *,
    marks: Iterable[Mark] = (),
    options: JobOptions = MODEL_DEFAULTS,
    request_id: str | None = None,
    reuse: bool = False,
) -> Job:
    """Make a job of a complete upload; the same request_id and request return the same job.

    With `reuse`, so does a job that succeeded with the same song, model, options and marks.
    """
    request = job_service_pb2.CreateJobRequest(
        request_id=request_id or str(uuid.uuid4()),
        upload_id=upload_id,
        options=from_options(options),
        marks=from_marks(marks),
        reuse=reuse,
    )
    return to_job(connection.unary(connection.jobs.CreateJob, request).job)


def get_job(connection: Connection, job_id: str) -> Job:
    """Return a job as it stands."""
    request = job_service_pb2.GetJobRequest(job_id=job_id)
    return to_job(connection.unary(connection.jobs.GetJob, request).job)


def list_jobs(
    connection: Connection, states: Iterable[JobState] = (), *, song_sha256: str = "", page_size: int = 100
) -> Iterator[Job]:
    """Yield all jobs in one of `states` (empty = any), newest first; of one song if that is given."""
    request = job_service_pb2.ListJobsRequest(
        page_size=page_size, states=from_states(states), song_sha256=song_sha256
    )
    for page in connection.pages(connection.jobs.ListJobs, request):
        for message in page.jobs:
            yield to_job(message)


def set_marks(connection: Connection, job_id: str, marks: Iterable[Mark]) -> Job:
    """Replace all marks of a job that is still queued."""
    request = job_service_pb2.SetMarksRequest(job_id=job_id, marks=from_marks(marks))
    return to_job(connection.unary(connection.jobs.SetMarks, request).job)


def cancel_job(connection: Connection, job_id: str) -> Job:
    """Ask a job to end and return its state; no error if it has ended."""
    request = job_service_pb2.CancelJobRequest(job_id=job_id)
    return to_job(connection.unary(connection.jobs.CancelJob, request).job)


def accept_job(connection: Connection, job_id: str) -> Job:
    """Ask a job to learn no more and go on to its stems; no error if it does not learn or has ended."""
    request = job_service_pb2.AcceptJobRequest(job_id=job_id)
    return to_job(connection.unary(connection.jobs.AcceptJob, request).job)


def star_job(connection: Connection, job_id: str, *, starred: bool = True) -> Job:
    """Keep a job with its stems for ever, or no longer."""
    request = job_service_pb2.StarJobRequest(job_id=job_id, starred=starred)
    return to_job(connection.unary(connection.jobs.StarJob, request).job)


def delete_job(connection: Connection, job_id: str) -> None:
    """Delete an ended job with its stems and events."""
    connection.unary(connection.jobs.DeleteJob, job_service_pb2.DeleteJobRequest(job_id=job_id))


def list_models(connection: Connection) -> tuple[Model, ...]:
    """Return the models that jobs can name."""
    answer = connection.unary(connection.models.ListModels, model_service_pb2.ListModelsRequest())
    return tuple(to_resource(Model, message) for message in answer.models)


def list_presets(connection: Connection) -> tuple[str, ...]:
    """Return the names of presets; empty from a server that does not list them."""
    answer = connection.unary(connection.models.ListModels, model_service_pb2.ListModelsRequest())
    return tuple(answer.presets)


def watch_job(connection: Connection, job_id: str, after_seq: int = 0) -> Iterator[JobEvent]:
    """Yield every event with seq > after_seq once and in order, up to a terminal state.

    A broken stream is opened again after the last event that arrived; the server keeps events, so none is
    lost.
    """
    request = job_service_pb2.WatchJobRequest(job_id=job_id, after_seq=after_seq)
    # The server ends the stream well only after the event of a terminal state.
    for response in connection.resumed(connection.jobs.WatchJob, request):
        request.after_seq = response.event.seq
        yield to_event(response.event)


def require_success(job: Job) -> Job:
    """Return an ended job that succeeded.

    Raises:
        JobFailedError, JobCancelledError: it did not.
    """
    if job.state is JobState.FAILED:
        raise JobFailedError(job)
    if job.state is JobState.CANCELLED:
        raise JobCancelledError(job)
    return job
