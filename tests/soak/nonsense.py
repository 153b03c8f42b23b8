"""Requests that must be refused, each by a clear status: every one raises grpc.RpcError."""

from __future__ import annotations

import contextlib
import uuid

import google_crc32c
import grpc

from ugosa_server.wire.ugosa.v1 import (
    audio_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    marks_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)


def uploads_no_audio(channel, chance):
    stub = upload_service_pb2_grpc.UploadServiceStub(channel)
    upload = create_upload(stub)
    data = chance.choice([b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"ID3", b""]) + chance.randbytes(3000)
    try:
        for _ in stub.WriteUpload(iter(write_messages(upload, data)), timeout=60):
            pass
    finally:
        delete_quietly(stub, upload)


def breaks_the_order_of_an_upload(channel, chance):
    stub = upload_service_pb2_grpc.UploadServiceStub(channel)
    upload = create_upload(stub)
    messages = write_messages(upload, chance.randbytes(3000))
    messages[1].chunk.offset = chance.choice([1, 2**40])
    try:
        for _ in stub.WriteUpload(iter(messages), timeout=60):
            pass
    finally:
        delete_quietly(stub, upload)


def asks_for_what_is_not_there(channel, chance):
    stub = job_service_pb2_grpc.JobServiceStub(channel)
    job_id = chance.choice(["", "../../etc/passwd", "job-" + "0" * 32, "\u0000", "x" * 10_000])
    chance.choice(
        [
            lambda: stub.GetJob(job_service_pb2.GetJobRequest(job_id=job_id), timeout=60),
            lambda: stub.CancelJob(job_service_pb2.CancelJobRequest(job_id=job_id), timeout=60),
            lambda: list(stub.WatchJob(job_service_pb2.WatchJobRequest(job_id=job_id), timeout=60)),
            lambda: list(
                stub.ReadStem(job_service_pb2.ReadStemRequest(job_id=job_id, source="/"), timeout=60)
            ),
        ]
    )()


def makes_a_job_that_cannot_be(channel, chance):
    marks = [
        marks_pb2.Mark(source="vocals" * n, state=n % 3, start_frame=-n, end_frame=chance.randrange(-9, 9))
        for n in range(chance.choice([1, 100, 5000]))
    ]
    job_service_pb2_grpc.JobServiceStub(channel).CreateJob(
        job_service_pb2.CreateJobRequest(
            request_id=str(uuid.uuid4()), upload_id="upload-0", marks=marks_pb2.Marks(marks=marks)
        ),
        timeout=60,
    )


def sends_bytes_that_are_no_message(channel, chance):
    method = chance.choice(["JobService/CreateJob", "UploadService/CreateUpload", "JobService/SetMarks"])
    raw = channel.unary_unary(f"/ugosa.v1.{method}", request_serializer=bytes, response_deserializer=bytes)
    raw(b"\xff" + chance.randbytes(chance.choice([10, 1000, 100_000])), timeout=60)


NONSENSE = (
    uploads_no_audio,
    breaks_the_order_of_an_upload,
    asks_for_what_is_not_there,
    makes_a_job_that_cannot_be,
    sends_bytes_that_are_no_message,
)


def create_upload(stub):
    file = audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="noise.wav"))
    request = upload_service_pb2.CreateUploadRequest(request_id=str(uuid.uuid4()), format=file)
    return stub.CreateUpload(request, timeout=60).upload.upload_id


def write_messages(upload_id, data):
    chunk = audio_pb2.Chunk(offset=0, data=data, crc32c=google_crc32c.value(data))
    return [
        upload_service_pb2.WriteUploadRequest(open=upload_service_pb2.WriteUploadOpen(upload_id=upload_id)),
        upload_service_pb2.WriteUploadRequest(chunk=chunk),
        upload_service_pb2.WriteUploadRequest(
            finish=upload_service_pb2.WriteUploadFinish(size_bytes=len(data))
        ),
    ]


def delete_quietly(stub, upload_id):
    with contextlib.suppress(grpc.RpcError):  # gone already, or another stream has it: the sweep takes it
        stub.DeleteUpload(upload_service_pb2.DeleteUploadRequest(upload_id=upload_id), timeout=60)
