"""SeparationService: one call from audio and marks to stems, built on uploads and jobs; also its caller."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, suppress

import google_crc32c
import grpc

from ugosa_server.errors import BadOptionError, NotFoundError, UgosaError, UploadInUseError
from ugosa_server.jobs import JobState
from ugosa_server.jobs.model import Upload, new_id
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.quotas import Stream
from ugosa_server.jobs.uploads import Uploads
from ugosa_server.rpc.chunks import BatchReader, first_message, read_chunks, received_chunk
from ugosa_server.rpc.convert import (
    event_to_wire,
    job_to_wire,
    marks_from_wire,
    options_from_wire,
    upload_format_from_wire,
)
from ugosa_server.rpc.interceptors import Context, current_principal
from ugosa_server.wire.ugosa.v1 import audio_pb2, job_pb2, marks_pb2
from ugosa_server.wire.ugosa.v1 import separation_service_pb2 as wire
from ugosa_server.wire.ugosa.v1.separation_service_pb2_grpc import (
    SeparationServiceServicer,
    SeparationServiceStub,
)

QUICKEST_ADAPTATION = "P-L5:D"  # the decoder alone


class SeparationService(SeparationServiceServicer):
    """See protos/ugosa/v1/separation_service.proto."""

    def __init__(self, uploads: Uploads, jobs: JobQueue) -> None:
        self._uploads = uploads
        self._jobs = jobs
        self._discarding: set[asyncio.Task[None]] = set()

    async def Separate(
        self, request_iterator: AsyncIterator[wire.SeparateRequest], context: Context
    ) -> AsyncGenerator[wire.SeparateResponse, None]:
        first = await first_message(request_iterator, self._uploads.limits.upload_idle_timeout_s)
        if first is None or first.WhichOneof("part") != "header":
            raise BadOptionError("the first message of Separate must be `header`")
        principal, header, marks = current_principal(), first.header, marks_pb2.Marks()
        upload_format, options = upload_format_from_wire(header.format), options_from_wire(header.options)
        upload = await self._uploads.create(principal, new_id("separate"), upload_format, 0)
        try:
            async with aclosing(self._receive(upload, request_iterator, marks)) as answers:
                async for answer in answers:
                    yield answer
            request_id = header.request_id or new_id("separate")
            job = await self._jobs.create(
                principal, request_id, upload.upload_id, options, marks_from_wire(marks)
            )
            if job.upload_id != upload.upload_id:  # the call was sent before; its job has the song already
                await self._uploads.delete(principal, upload.upload_id)
        except UgosaError:
            await self._discard(upload)
            raise
        except (asyncio.CancelledError, GeneratorExit):  # the client has gone: wait for nothing
            discarding = asyncio.create_task(self._discard(upload))
            self._discarding.add(discarding)
            discarding.add_done_callback(self._discarding.discard)
            raise
        yield wire.SeparateResponse(accepted=wire.SeparateAccepted(job=job_to_wire(job)))
        async with aclosing(self._jobs.watch(principal, job.job_id, 0)) as events:
            async for event in events:
                yield wire.SeparateResponse(event=event_to_wire(event))
        job = await self._jobs.get(principal, job.job_id)
        if job.state is JobState.SUCCEEDED and job.result is not None:
            with self._jobs.quotas.streaming(Stream.READ, principal):
                for stem in job.result.stems:
                    file = await self._jobs.results.stem_file(principal, job.job_id, stem.source)
                    async for chunk in read_chunks(file, 0, 0):
                        part = wire.SeparateStemChunk(source=stem.source, chunk=chunk)
                        yield wire.SeparateResponse(stem=part)
        yield wire.SeparateResponse(done=wire.SeparateDone(job=job_to_wire(job)))

    async def _discard(self, upload: Upload) -> None:
        """Delete a song without a job: its client never learned its id and cannot delete it."""
        with suppress(NotFoundError, UploadInUseError):
            await self._uploads.delete(upload.principal, upload.upload_id)

    async def _receive(
        self, upload: Upload, messages: AsyncIterator[wire.SeparateRequest], marks: marks_pb2.Marks
    ) -> AsyncGenerator[wire.SeparateResponse, None]:
        """Receive chunks and marks in any order until the half-close; then the upload is COMPLETE."""
        reader = BatchReader(messages, self._uploads.limits.upload_idle_timeout_s)
        async with (
            self._uploads.open(upload.principal, upload.upload_id) as opened,
            aclosing(reader.batches()) as batches,
        ):
            async for batch in batches:
                chunks = []
                for message in batch:
                    match message.WhichOneof("part"):
                        case "chunk":
                            chunks.append(received_chunk(message.chunk))
                        case "marks":
                            marks.CopyFrom(message.marks)
                        case other:
                            raise BadOptionError(
                                f"after `header`, Separate takes chunks and marks, not {other}"
                            )
                if chunks:
                    size = await opened.write(chunks)
                    yield wire.SeparateResponse(received=wire.SeparateReceived(committed_size=size))
            await opened.finish(opened.committed_size, "")


def separate_once(
    target: str, wav: bytes, silent_source: str, frames: int, timeout_s: float
) -> dict[str, bytes]:
    """Send a short WAV file to a running server in one call, one source marked silent; return the stem files.

    Raises:
        RuntimeError: the server is not there, or refused, or the job failed; the message gives the reason.
    """

    def requests() -> Iterator[wire.SeparateRequest]:
        options = job_pb2.JobOptions(epochs=1, strategy=QUICKEST_ADAPTATION)
        header = wire.SeparateHeader(
            format=audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="doctor.wav")),
            options=options,
        )
        yield wire.SeparateRequest(header=header)
        chunk = audio_pb2.Chunk(offset=0, data=wav, crc32c=google_crc32c.value(wav))
        yield wire.SeparateRequest(chunk=chunk)
        mark = marks_pb2.Mark(
            source=silent_source, state=marks_pb2.MARK_STATE_SILENT, start_frame=0, end_frame=frames
        )
        yield wire.SeparateRequest(marks=marks_pb2.Marks(marks=[mark]))

    stems: defaultdict[str, bytes] = defaultdict(bytes)
    with grpc.insecure_channel(target) as channel:
        try:
            for answer in SeparationServiceStub(channel).Separate(requests(), timeout=timeout_s):
                match answer.WhichOneof("part"):
                    case "stem":
                        stems[answer.stem.source] += answer.stem.chunk.data
                    case "done" if answer.done.job.state != job_pb2.JOB_STATE_SUCCEEDED:
                        error = answer.done.job.error
                        raise RuntimeError(f"the job ended without stems: {error.reason}: {error.message}")
        except grpc.RpcError as error:
            raise RuntimeError(f"the server answered {error.code().name}: {error.details()}") from error
    return dict(stems)
