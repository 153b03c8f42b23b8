"""Job arrays: many songs in one call and one watch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ugosa_client.connection import Connection
from ugosa_client.convert import from_marks, from_options, to_event, to_resource, to_word
from ugosa_client.events import JobEvent
from ugosa_client.resources import MODEL_DEFAULTS, JobOptions, JobState, Mark
from ugosa_client.wire.ugosa.v1 import job_array_service_pb2 as wire


@dataclass(frozen=True)
class ArrayItem:
    """One song of an array."""

    upload_id: str
    """Id of a complete upload."""
    marks: tuple[Mark, ...] = ()
    """Empty = plain separation."""
    options: JobOptions | None = None
    """Options in place of the array's; None = those."""


@dataclass(frozen=True)
class JobArray:
    """Many jobs that were made together."""

    array_id: str
    """Server-made."""
    request_id: str
    """Chosen by the client that made the array."""
    job_ids: tuple[str, ...]
    """Ids of the jobs, in the order of the items; without those that were deleted."""
    counts: dict[JobState, int]
    """Number of jobs in each state that occurs."""
    last_seq: int
    """array_seq of the newest event."""
    create_time: datetime | None
    """UTC."""


@dataclass(frozen=True)
class ArrayEvent:
    """An event of one of the jobs of an array."""

    array_seq: int
    """Number of the event within the array, from 1."""
    event: JobEvent
    """With the id of its job."""


def create_job_array(
    connection: Connection,
    items: Iterable[ArrayItem],
    *,
    options: JobOptions = MODEL_DEFAULTS,
    request_id: str | None = None,
) -> JobArray:
    """Make a job for each of up to 1000 songs, all or none; the same request_id gives the same array."""
    request = wire.CreateJobArrayRequest(
        request_id=request_id or str(uuid.uuid4()),
        options=from_options(options),
        items=[
            wire.JobArrayItem(
                upload_id=item.upload_id,
                marks=from_marks(item.marks),
                options=None if item.options is None else from_options(item.options),
            )
            for item in items
        ],
    )
    return _to_array(connection.unary(connection.arrays.CreateJobArray, request).array)


def get_job_array(connection: Connection, array_id: str) -> JobArray:
    """Return an array as it stands."""
    request = wire.GetJobArrayRequest(array_id=array_id)
    return _to_array(connection.unary(connection.arrays.GetJobArray, request).array)


def cancel_job_array(connection: Connection, array_id: str) -> JobArray:
    """Ask all jobs of an array to end."""
    request = wire.CancelJobArrayRequest(array_id=array_id)
    return _to_array(connection.unary(connection.arrays.CancelJobArray, request).array)


def watch_job_array(connection: Connection, array_id: str, after_seq: int = 0) -> Iterator[ArrayEvent]:
    """Yield the events of all jobs with array_seq > after_seq, each once and in order, up to the last end.

    A broken stream is opened again after the last event that arrived.
    """
    request = wire.WatchJobArrayRequest(array_id=array_id, after_seq=after_seq)
    for response in connection.resumed(connection.arrays.WatchJobArray, request):
        request.after_seq = response.array_seq
        yield ArrayEvent(response.array_seq, to_event(response.event))


def _to_array(message: wire.JobArray) -> JobArray:
    counts = {to_word("JobState", count.state): count.jobs for count in message.counts}
    return to_resource(JobArray, message, counts=counts)
