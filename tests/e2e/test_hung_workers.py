"""Whatever hangs, a bound holds: a worker that stands still, a cancel, a drain."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import grpc
import psutil
import pytest

from tests.helpers.jobs import LONG, silent, states, wait_for_adaptation
from tests.helpers.server import Server, StartServer, replaced_and_stopped, stop
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobState
from ugosa_server.wire.ugosa.v1 import audio_pb2, upload_service_pb2, upload_service_pb2_grpc

pytestmark = pytest.mark.xdist_group("serial")

MARKS = [silent("vocals", 10000, 30000)]
SLACK_S = 15.0  # of a busy machine; what has no bound ends when 30 s without a heartbeat are over


def submit(client, tmp_path, options, frames=2 * 44100):
    upload_id = client.upload(write_song(make_song(frames), tmp_path / "song.wav")).upload_id
    return client.create_job(upload_id, marks=MARKS, options=options)


def test_a_cancel_needs_no_worker_while_one_is_starting(shared_server: Server, tmp_path: Path):
    server = shared_server
    with server.client() as client:
        starting = replaced_and_stopped(server)
        job = submit(client, tmp_path, LONG, frames=44100)
        client.cancel(job.job_id)  # it waits: a job begins when a worker is ready for it
        assert states(list(client.watch(job.job_id))) == [JobState.QUEUED, JobState.CANCELLED]
        assert starting.status() == psutil.STATUS_STOPPED
        starting.send_signal(signal.SIGCONT)


def test_a_cancel_and_a_drain_end_in_time_whatever_hangs(start_server: StartServer, tmp_path: Path):
    deadline_s, grace_s = 1.0, 1.0
    server = start_server("--cancel-deadline-s", str(deadline_s), "--drain-grace-s", str(grace_s))
    with server.client() as client, grpc.insecure_channel(server.target) as channel:
        job = submit(client, tmp_path, LONG)
        next_job = submit(client, tmp_path, LONG)
        seen = wait_for_adaptation(client, job.job_id)
        hung = stop(server.worker())
        asked_s = time.monotonic()
        client.cancel(job.job_id)
        rest = list(client.watch(job.job_id, after_seq=seen[-1].seq))
        assert time.monotonic() - asked_s <= deadline_s + SLACK_S
        assert states(rest) == [JobState.CANCELLING, JobState.CANCELLED]
        assert not hung.is_running(), "it could wake up and write"

        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        file = audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="song.wav"))
        upload = uploads.CreateUpload(
            upload_service_pb2.CreateUploadRequest(request_id="r", format=file)
        ).upload
        opening = upload_service_pb2.WriteUploadOpen(upload_id=upload.upload_id)
        stalled = uploads.WriteUpload(iter_and_wait(upload_service_pb2.WriteUploadRequest(open=opening)))
        next(stalled)
        wait_for_adaptation(client, next_job.job_id)
        hung = stop(server.worker())
        asked_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        calls_s = 2.0
        assert time.monotonic() - asked_s <= grace_s + calls_s + SLACK_S
        assert not hung.is_running()


def iter_and_wait(first):
    """A request stream that says one thing and then nothing."""
    yield first
    threading.Event().wait()
