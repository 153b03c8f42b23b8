"""The wire as a test speaks it, and a server of it in this process around an engine that plays scripts."""

import contextlib
import hashlib
import uuid

import google_crc32c
import grpc.aio
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from tests.helpers.front import running_front, wav_bytes
from ugosa_server.rpc import RpcServer
from ugosa_server.wire.ugosa.v1 import (
    audio_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    marks_pb2,
    marks_service_pb2_grpc,
    model_service_pb2_grpc,
    separation_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

SONG = wav_bytes()
FILE = audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="song.wav"))
SILENT = marks_pb2.Marks(
    marks=[marks_pb2.Mark(source="vocals", state=marks_pb2.MARK_STATE_SILENT, start_frame=0, end_frame=900)]
)


class Api:
    def __init__(self, channel):
        self.channel = channel
        self.uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        self.jobs = job_service_pb2_grpc.JobServiceStub(channel)
        self.marks = marks_service_pb2_grpc.MarksServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.separation = separation_service_pb2_grpc.SeparationServiceStub(channel)

    async def create_upload(self, **fields):
        fields = {"request_id": str(uuid.uuid4()), "format": FILE} | fields
        answer = await self.uploads.CreateUpload(upload_service_pb2.CreateUploadRequest(**fields))
        return answer.upload

    async def upload(self, data=SONG):
        upload = await self.create_upload()
        answers = [a async for a in self.uploads.WriteUpload(write(upload.upload_id, data, finish=True))]
        return answers[-1].upload

    async def job(self, **fields):
        fields = {"request_id": str(uuid.uuid4()), "marks": SILENT} | fields
        if "upload_id" not in fields:
            fields["upload_id"] = (await self.upload()).upload_id
        return (await self.jobs.CreateJob(job_service_pb2.CreateJobRequest(**fields))).job

    async def watch(self, job_id, after_seq=0):
        request = job_service_pb2.WatchJobRequest(job_id=job_id, after_seq=after_seq)
        return [answer.event async for answer in self.jobs.WatchJob(request)]


def chunk(offset, data, crc32c=None):
    crc32c = google_crc32c.value(data) if crc32c is None else crc32c
    return audio_pb2.Chunk(offset=offset, data=data, crc32c=crc32c)


async def write(upload_id, data, *, offset=0, finish=False, size=1000, sha256=None):
    yield upload_service_pb2.WriteUploadRequest(open=upload_service_pb2.WriteUploadOpen(upload_id=upload_id))
    for start in range(offset, len(data), size):
        yield upload_service_pb2.WriteUploadRequest(chunk=chunk(start, data[start : start + size]))
    if finish:
        digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
        yield upload_service_pb2.WriteUploadRequest(
            finish=upload_service_pb2.WriteUploadFinish(size_bytes=len(data), sha256=digest)
        )


def error_info(error):
    """(status code, reason, metadata) of a failed call."""
    info = ErrorInfo()
    rpc_status.from_call(error).details[0].Unpack(info)
    assert info.domain == "ugosa"
    return error.code(), info.reason, dict(info.metadata)


@contextlib.asynccontextmanager
async def serving(tmp_path, *scripts, **options):
    """An Api on a Unix socket."""
    async with (
        listening(tmp_path, *scripts, **options) as (_, (address,)),
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Api(channel)


@contextlib.asynccontextmanager
async def listening(
    tmp_path, *scripts, listen=None, tls=None, has_tokens=False, require_token_on_loopback=False, **options
):
    """A front and the addresses that it serves on."""
    async with running_front(tmp_path, *scripts, **options) as front:
        server = RpcServer(
            front.uploads,
            front.jobs,
            require_token_on_loopback=require_token_on_loopback,
        )
        addresses = await server.start(listen or [f"unix:{tmp_path}/u.sock"], tls, has_tokens=has_tokens)
        server.health.set(serving=True)
        front.rpc = server
        try:
            yield front, addresses
        finally:
            front.hub.close()
            await server.stop(0)
