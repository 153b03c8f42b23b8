"""Clients that stall cost the server a window each, never their backlog: measured as the front's memory."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from pathlib import Path

import google_crc32c
import grpc
import psutil
import pytest

from tests.helpers.http2 import PREFACE, window_setting
from tests.helpers.jobs import states
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobOptions, JobState
from ugosa_server.rpc.chunks import MAX_WAITING_BYTES
from ugosa_server.wire.ugosa.v1 import (
    audio_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

BASE = JobOptions(strategy="B0", separation_segment_s=2.0)
READERS = 60  # of the 64 that one principal may have
UPLOADERS = 8
CHUNK = bytes(1024 * 1024)
CHUNKS = 40
# 60 * 8.5 MB are there to be read and 8 * 42 MB are sent; a window each is about a quarter of it.
LIMIT_BYTES = READERS * 2e6 + UPLOADERS * (MAX_WAITING_BYTES + 6 * len(CHUNK))


def resident_bytes(server: Server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


@pytest.mark.xdist_group("serial")
def test_stalled_readers_and_uploaders_are_bounded_in_memory(shared_server: Server, tmp_path: Path):
    server = shared_server
    ending = threading.Event()
    with server.client() as client, grpc.insecure_channel(server.target) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        song = write_song(make_song(24 * 44100), tmp_path / "song.wav")
        job = client.create_job(client.upload(song).upload_id, options=BASE)
        assert states(list(client.watch(job.job_id)))[-1] is JobState.SUCCEEDED
        before = resident_bytes(server)

        calls = []
        for _ in range(READERS):
            calls.append(jobs.ReadStem(job_service_pb2.ReadStemRequest(job_id=job.job_id, source="drums")))
            assert next(calls[-1]).chunk.data
        for number in range(UPLOADERS):
            calls.append(uploads.WriteUpload(stalling(create_upload(uploads, number), ending)))
            while next(calls[-1]).committed_size < CHUNKS * len(CHUNK):
                pass
        for _ in range(50):  # the server has done what it can for the stalled ones, and answers others
            client.get_job(job.job_id)
        assert resident_bytes(server) - before < LIMIT_BYTES
        ending.set()
        for call in calls:
            call.cancel()


def create_upload(uploads, number):
    file = audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="song.wav"))
    request = upload_service_pb2.CreateUploadRequest(request_id=f"stalled {number}", format=file)
    return uploads.CreateUpload(request).upload.upload_id


def stalling(upload_id, ending):
    """Send some megabytes as fast as they are taken, and then nothing."""
    yield upload_service_pb2.WriteUploadRequest(open=upload_service_pb2.WriteUploadOpen(upload_id=upload_id))
    crc32c = google_crc32c.value(CHUNK)
    for number in range(CHUNKS):
        chunk = audio_pb2.Chunk(offset=number * len(CHUNK), data=CHUNK, crc32c=crc32c)
        yield upload_service_pb2.WriteUploadRequest(chunk=chunk)
    ending.wait()


def test_a_client_that_takes_nothing_does_not_hold_up_the_end(start_server: StartServer):
    """Its settings are answered until no answer can be sent any more, and none can say goodbye to it."""
    server = start_server("--drain-grace-s", "1")
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(server.target.removeprefix("unix:"))
        door.settimeout(2)
        door.sendall(PREFACE)
        with contextlib.suppress(OSError):  # the server reads no more
            for size in range(100_000):
                door.sendall(window_setting(size))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
