"""A small gRPC service that keeps the wire's rules and breaks streams where a test tells it to.

The real server does not break on command; this one does, over real gRPC on a Unix socket. It holds uploads in
memory and runs no jobs: a test puts jobs, events and files in place.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from ugosa_client import RetryPolicy, UgosaClient
from ugosa_client.wire.ugosa.v1 import (
    audio_pb2,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    separation_service_pb2,
    separation_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

AUDIO = audio_pb2.AudioInfo(sample_rate_hz=44100, channels=2, frames=44100, encoding="WAV PCM_16", peak=0.5)


def refuse(
    context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, message: str, **metadata: str
) -> None:
    """End the call as the real server does: a status with an ErrorInfo."""
    detail = Any()
    detail.Pack(ErrorInfo(reason=reason, domain="ugosa", metadata=metadata))
    status = Status(code=code.value[0], message=message, details=[detail])
    context.abort_with_status(rpc_status.to_status(status))


@dataclass
class StoredUpload:
    """An upload in memory."""

    upload_id: str
    request: bytes
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False

    def message(self) -> upload_service_pb2.Upload:
        """As the wire says it."""
        state = (
            upload_service_pb2.UPLOAD_STATE_COMPLETE
            if self.complete
            else upload_service_pb2.UPLOAD_STATE_RECEIVING
        )
        message = upload_service_pb2.Upload(
            upload_id=self.upload_id, state=state, committed_size=len(self.data)
        )
        if self.complete:
            message.sha256 = hashlib.sha256(self.data).hexdigest()
            message.audio.CopyFrom(AUDIO)
        return message


class BreakingServer(
    upload_service_pb2_grpc.UploadServiceServicer,
    job_service_pb2_grpc.JobServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
    separation_service_pb2_grpc.SeparationServiceServicer,
):
    """All services in one object; its public attributes are what tests set and look at."""

    def __init__(self) -> None:
        self.uploads: dict[str, StoredUpload] = {}
        self.jobs: dict[str, job_pb2.Job] = {}
        self.events: dict[str, list[job_pb2.JobEvent]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.breaks: list[int] = []
        """Number of messages that each next stream answers before it breaks; empty = no more breaks."""
        self.refusals: list[tuple[grpc.StatusCode, str]] = []
        """Status and reason with which each next stream is refused in its middle."""
        self.starts: list[int] = []
        """Offset or after_seq at which each stream was opened."""
        self.outcomes: dict[str, int] = {}
        """State in which a new job ends at once, by the song's file name; others stay queued."""
        self.decays = 0
        """So many next jobs find their song damaged, which is then to be sent again."""
        self.unary_breaks = 0
        """So many unary calls fail with UNAVAILABLE."""
        self.model = model_service_pb2.Model(
            name="tiny", sources=["drums", "bass", "other", "vocals"], is_default=True
        )
        self._lock = threading.RLock()  # around all that makes, seeks or deletes: calls have threads
        self._upload_numbers, self._job_numbers = itertools.count(1), itertools.count(1)

    def serve(self, address: str) -> grpc.Server:
        """Start to answer at an address."""
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        upload_service_pb2_grpc.add_UploadServiceServicer_to_server(self, server)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(self, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, server)
        separation_service_pb2_grpc.add_SeparationServiceServicer_to_server(self, server)
        server.add_insecure_port(address)
        server.start()
        return server

    def add_succeeded_job(self, job_id: str, stems: dict[str, bytes]) -> job_pb2.Job:
        """Put a finished job with its files in place."""
        job = job_pb2.Job(job_id=job_id, state=job_pb2.JOB_STATE_SUCCEEDED, audio=AUDIO, last_seq=3)
        for source, data in stems.items():
            self.files[job_id, source] = data
            job.stems.add(
                source=source,
                encoding=job_pb2.STEM_ENCODING_WAV_FLOAT32,
                frames=AUDIO.frames,
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        self.jobs[job_id] = job
        return job

    def _maybe_break(self, context: grpc.ServicerContext) -> None:
        if self.unary_breaks:
            self.unary_breaks -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")

    def _breaking(self, context: grpc.ServicerContext, messages: Iterator[object]) -> Iterator[object]:
        """Pass messages on, up to the break that a test asked for."""
        until = self.breaks.pop(0) if self.breaks else None
        refusal = self.refusals.pop(0) if self.refusals and until is not None else None
        for sent, message in enumerate(messages):
            if sent == until:
                if refusal is not None:
                    refuse(context, *refusal, f"refused with {refusal[1]}")
                context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
            yield message

    def CreateUpload(self, request, context):  # noqa: N802
        self._maybe_break(context)
        with self._lock:
            wanted = request.SerializeToString(deterministic=True)
            if request.request_id not in self.uploads:
                self.uploads[request.request_id] = StoredUpload(f"u{next(self._upload_numbers)}", wanted)
            upload = self.uploads[request.request_id]
        if upload.request != wanted:
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_CONFLICT", "used before")
        return upload_service_pb2.CreateUploadResponse(upload=upload.message())

    def GetUpload(self, request, context):  # noqa: N802
        self._maybe_break(context)
        return upload_service_pb2.GetUploadResponse(upload=self._upload(request.upload_id, context).message())

    def DeleteUpload(self, request, context):  # noqa: N802
        with self._lock:
            upload = self._upload(request.upload_id, context)
            self.uploads = {key: each for key, each in self.uploads.items() if each is not upload}
        return upload_service_pb2.DeleteUploadResponse()

    def _upload(self, upload_id: str, context: grpc.ServicerContext) -> StoredUpload:
        with self._lock:
            found = [upload for upload in self.uploads.values() if upload.upload_id == upload_id]
        if not found:
            refuse(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"no upload {upload_id!r}")
        return found[0]

    def WriteUpload(self, request_iterator, context):  # noqa: N802
        yield from self._breaking(context, self._write(request_iterator, context))

    def _write(self, requests, context):
        upload = self._upload(next(requests).open.upload_id, context)
        self.starts.append(len(upload.data))
        yield upload_service_pb2.WriteUploadResponse(committed_size=len(upload.data))
        for request in requests:
            if request.HasField("finish"):
                digest = hashlib.sha256(upload.data).hexdigest()
                if request.finish.size_bytes != len(upload.data) or request.finish.sha256 != digest:
                    refuse(context, grpc.StatusCode.DATA_LOSS, "SHA256_MISMATCH", "the bytes differ")
                upload.complete = True
                yield upload_service_pb2.WriteUploadResponse(
                    committed_size=len(upload.data), upload=upload.message()
                )
                return
            chunk = request.chunk
            size = str(len(upload.data))
            if chunk.offset != len(upload.data):
                refuse(context, grpc.StatusCode.ABORTED, "OFFSET_MISMATCH", "offset", committed_size=size)
            if google_crc32c.value(chunk.data) != chunk.crc32c:
                refuse(context, grpc.StatusCode.ABORTED, "CRC_MISMATCH", "crc", committed_size=size)
            upload.data += chunk.data
            yield upload_service_pb2.WriteUploadResponse(committed_size=len(upload.data))

    def CreateJob(self, request, context):  # noqa: N802
        self._maybe_break(context)
        with self._lock:
            return self._create_job(request, context)

    def _create_job(self, request, context):
        for job in self.jobs.values():
            if job.request_id == request.request_id:
                return job_service_pb2.CreateJobResponse(job=job)
        if self.decays:
            self.decays -= 1
            upload = self._upload(request.upload_id, context)
            upload.data.clear()
            upload.complete = False
            status = grpc.StatusCode.FAILED_PRECONDITION
            refuse(context, status, "UPLOAD_DAMAGED", "the song on the server's disk is gone or damaged")
        job = job_pb2.Job(
            job_id=f"j{next(self._job_numbers)}",
            request_id=request.request_id,
            upload_id=request.upload_id,
            state=job_pb2.JOB_STATE_QUEUED,
            options=request.options,
            marks=request.marks,
            queue_position=1,
            audio=AUDIO,
        )
        upload = self._upload(job.upload_id, context)
        created = upload_service_pb2.CreateUploadRequest.FromString(upload.request)
        job.file_name = created.format.encoded.file_name
        self.jobs[job.job_id] = job
        if job.file_name in self.outcomes:
            self._end(job, self.outcomes[job.file_name])
        return job_service_pb2.CreateJobResponse(job=job)

    def _end(self, job: job_pb2.Job, state: int) -> None:
        self.events[job.job_id] = progress_events(job.job_id, 3, state)
        if state == job_pb2.JOB_STATE_SUCCEEDED:
            stems = {source: f"{source} of {job.file_name}".encode() for source in self.model.sources}
            job.stems.extend(self.add_succeeded_job("scratch", stems).stems)
            del self.jobs["scratch"]
            for source in stems:
                self.files[job.job_id, source] = self.files.pop(("scratch", source))
        elif state == job_pb2.JOB_STATE_FAILED:
            job.error.reason, job.error.message = "WORKER_LOST", "the worker died twice"
        job.state, job.queue_position = state, 0

    def _job(self, job_id: str, context: grpc.ServicerContext) -> job_pb2.Job:
        if job_id not in self.jobs:
            refuse(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"no job {job_id!r}")
        return self.jobs[job_id]

    def GetJob(self, request, context):  # noqa: N802
        self._maybe_break(context)
        return job_service_pb2.GetJobResponse(job=self._job(request.job_id, context))

    def ListJobs(self, request, context):  # noqa: N802
        with self._lock:
            jobs = [job for job in self.jobs.values() if not request.states or job.state in request.states]
        start = int(request.page_token or 0)
        end = start + request.page_size
        token = str(end) if end < len(jobs) else ""
        return job_service_pb2.ListJobsResponse(jobs=jobs[start:end], next_page_token=token)

    def SetMarks(self, request, context):  # noqa: N802
        job = self._job(request.job_id, context)
        if job.state != job_pb2.JOB_STATE_QUEUED:
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "JOB_STARTED", "the job has started")
        job.marks.CopyFrom(request.marks)
        return job_service_pb2.SetMarksResponse(job=job)

    def CancelJob(self, request, context):  # noqa: N802
        job = self._job(request.job_id, context)
        job.state = job_pb2.JOB_STATE_CANCELLED
        return job_service_pb2.CancelJobResponse(job=job)

    def DeleteJob(self, request, context):  # noqa: N802
        with self._lock:
            del self.jobs[self._job(request.job_id, context).job_id]
        return job_service_pb2.DeleteJobResponse()

    def ListModels(self, request, context):  # noqa: N802
        self._maybe_break(context)
        return model_service_pb2.ListModelsResponse(models=[self.model])

    def WatchJob(self, request, context):  # noqa: N802
        self._job(request.job_id, context)
        self.starts.append(request.after_seq)
        later = (event for event in self.events[request.job_id] if event.seq > request.after_seq)
        messages = (job_service_pb2.WatchJobResponse(event=event) for event in later)
        yield from self._breaking(context, messages)

    def ReadStem(self, request, context):  # noqa: N802
        self.starts.append(request.offset)
        is_base = request.take == job_service_pb2.STEM_TAKE_BASE
        file = (request.job_id, f"base/{request.source}" if is_base else request.source)
        if file not in self.files:
            refuse(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"there is no {file}")
        data = self.files[file]
        chunks = (job_service_pb2.ReadStemResponse(chunk=chunk) for chunk in chunks_of(data, request.offset))
        yield from self._breaking(context, chunks)

    def ReadReport(self, request, context):  # noqa: N802
        name = (
            '{"job_id": "", "stems": []}'
            if request.format == job_service_pb2.REPORT_FORMAT_JSON
            else "<html></html>"
        )
        data = self.files.get((request.job_id, str(request.format)), name.encode())
        yield from (job_service_pb2.ReadReportResponse(chunk=chunk) for chunk in chunks_of(data, 0))

    def Separate(self, request_iterator, context):  # noqa: N802
        yield from self._breaking(context, self._separate(request_iterator))

    def _separate(self, requests):
        data = bytearray()
        for request in requests:
            if request.HasField("chunk"):
                assert request.chunk.offset == len(data)
                data += request.chunk.data
                received = separation_service_pb2.SeparateReceived(committed_size=len(data))
                yield separation_service_pb2.SeparateResponse(received=received)
        job = self.add_succeeded_job("s1", {"drums": bytes(data), "vocals": bytes(reversed(data))})
        accepted = separation_service_pb2.SeparateAccepted(job=job)
        yield separation_service_pb2.SeparateResponse(accepted=accepted)
        changed = job_pb2.JobStateChanged(state=job_pb2.JOB_STATE_SUCCEEDED)
        event = job_pb2.JobEvent(job_id="s1", seq=1, attempt=1, state_changed=changed)
        yield separation_service_pb2.SeparateResponse(event=event)
        for stem in job.stems:
            for chunk in chunks_of(self.files["s1", stem.source], 0):
                part = separation_service_pb2.SeparateStemChunk(source=stem.source, chunk=chunk)
                yield separation_service_pb2.SeparateResponse(stem=part)
        yield separation_service_pb2.SeparateResponse(done=separation_service_pb2.SeparateDone(job=job))


def chunks_of(data: bytes, offset: int, size: int = 256 * 1024) -> Iterator[audio_pb2.Chunk]:
    """Cut bytes into chunks."""
    while offset < len(data):
        part = data[offset : offset + size]
        yield audio_pb2.Chunk(offset=offset, data=part, crc32c=google_crc32c.value(part))
        offset += len(part)


def progress_events(
    job_id: str, count: int, last_state: int = job_pb2.JOB_STATE_SUCCEEDED
) -> list[job_pb2.JobEvent]:
    """Make `count` events, the last of which ends the job."""
    events = []
    for seq in range(1, count):
        progress = job_pb2.JobProgress(
            phase=job_pb2.JOB_PHASE_ADAPTATION,
            fraction=seq / count,
            step=seq,
            steps=count,
            epoch=seq,
            epochs=count,
            eta_seconds=61.0,
            loss=job_pb2.LossTerms(total=0.5),
        )
        events.append(job_pb2.JobEvent(job_id=job_id, seq=seq, attempt=1, progress=progress))
    changed = job_pb2.JobStateChanged(state=last_state)
    events.append(job_pb2.JobEvent(job_id=job_id, seq=count, attempt=1, state_changed=changed))
    return events


@contextmanager
def breaking_server(folder: Path) -> Iterator[tuple[BreakingServer, UgosaClient]]:
    """Serve on a Unix socket in `folder`, with an impatient client of it."""
    service = BreakingServer()
    address = f"unix:{folder / 'käse socket'}"
    server = service.serve(address)
    try:
        with UgosaClient(address, retry=RetryPolicy(attempts=4, initial_s=0.001, maximum_s=0.002)) as client:
            yield service, client
    finally:
        server.stop(grace=0).wait()
