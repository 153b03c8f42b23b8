"""Clients of all kinds, each a loop that ends when it is told to: honest, impatient, slow and hostile."""

from __future__ import annotations

import random
import shutil
import time
import uuid
from collections import Counter, defaultdict
from functools import partial

import grpc
import numpy as np

from tests.helpers.jobs import LONG, silent
from tests.helpers.songs import make_song, read_audio, write_song
from tests.soak.history import History
from tests.soak.nonsense import NONSENSE, create_upload, delete_quietly, write_messages
from ugosa_client import JobOptions, JobState, UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_client.errors import (
    NotFoundError,
    ResourceExhaustedError,
    ServerUnavailableError,
    UgosaClientError,
)
from ugosa_server.wire.ugosa.v1 import (
    job_service_pb2,
    job_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

SONGS = 8
SONG_FRAMES = 30_000
MARKS = [silent("vocals", 2000, 20000)]
QUICK = JobOptions(epochs=1, segment_s=0.5, separation_segment_s=1.0)
PATIENT = RetryPolicy(attempts=100, initial_s=0.05, maximum_s=1.0)
PROBES_A_SECOND = 20
STALL_S = 5.0
BAD_LUCK = ("WORKER_LOST", "SERVER_RESTART")  # why a job fails whose processes were killed too often


class Soak:
    """State that the clients of one run share."""

    def __init__(self, target, folder, stopping, seed=0, *, deadly=False):
        self.target = target
        self.deadly = deadly  # whether somebody kills server and workers: a job may have bad luck too often
        self.folder = folder
        self.stopping = stopping
        self.history = History()
        self.counts = Counter()
        self.latencies_s = defaultdict(list)
        self.seed = seed
        self.songs = [
            write_song(make_song(SONG_FRAMES + 1000 * n, seed=n), folder / f"song {n}.wav")
            for n in range(SONGS)
        ]

    def client(self):
        return UgosaClient(self.target, retry=PATIENT)

    def random(self, name):
        return random.Random(f"{self.seed} {name}")

    def timed(self, method, call):
        begun_s = time.perf_counter()
        answer = call()
        self.latencies_s[method].append(time.perf_counter() - begun_s)
        return answer


def musician(soak, name):
    """Wants stems: uploads, makes jobs, watches with breaks, fetches, listens to the sum, tidies up."""
    chance = soak.random(name)
    with soak.client() as client:
        while not soak.stopping.is_set():
            song = chance.choice(soak.songs)
            upload_id = send(soak, client, song)
            job_id = make_job(soak, client, upload_id, QUICK, twice=chance.random() < 0.3)
            if job_id is None:
                soak.stopping.wait(0.2)
                continue
            end = watch_to_the_end(soak, client, job_id, chance)
            if end is JobState.SUCCEEDED:
                check_stems(soak, client, job_id, song, soak.folder / f"stems of {name}")
                soak.counts["songs separated"] += 1
            elif not (soak.deadly and client.get_job(job_id).failure.reason in BAD_LUCK):
                soak.history.problem(f"{job_id} ended as {end}, though nobody cancelled it")
            tidy_up(soak, client, job_id, upload_id)


def canceller(soak, name):
    """Makes long jobs and cancels them: waiting, starting, running."""
    chance = soak.random(name)
    with soak.client() as client:
        upload_id = send(soak, client, soak.songs[0])
        while not soak.stopping.is_set():
            job_id = make_job(soak, client, upload_id, LONG)
            if job_id is None:
                soak.stopping.wait(0.2)
                continue
            soak.stopping.wait(chance.choice([0.0, 0.05, 0.5, 2.0]))
            for _ in range(chance.choice([1, 1, 2])):
                soak.timed("CancelJob", lambda job_id=job_id: client.cancel(job_id))
            end = watch_to_the_end(soak, client, job_id, chance)
            if end is not JobState.CANCELLED and not soak.deadly:
                soak.history.problem(f"{job_id} was cancelled and ended as {end}")
            soak.counts["cancels"] += 1
            if chance.random() < 0.5:
                tidy_up(soak, client, job_id)


def send(soak, client, song):
    request_id = str(uuid.uuid4())
    soak.history.asks(request_id)
    while True:
        acknowledged = partial(acknowledged_size, soak, request_id)
        try:
            upload = client.upload(song, request_id=request_id, on_progress=acknowledged)
            break
        except ServerUnavailableError as error:  # the decoder was killed; the bytes are still there
            if error.reason != "DECODER_STOPPED" or not soak.deadly:
                raise
    soak.history.made(request_id, upload.upload_id)
    soak.counts["uploads"] += 1
    soak.counts["bytes uploaded"] += song.stat().st_size
    return upload.upload_id


def acknowledged_size(soak, upload_name, committed_size, _total):
    soak.history.committed(upload_name, committed_size)


def make_job(soak, client, upload_id, options, *, twice=False):
    """Return the id of a new job; None when the queue has no room."""
    request_id = str(uuid.uuid4())
    soak.history.asks(request_id)
    for _ in range(1 + twice):
        try:
            job = soak.timed(
                "CreateJob",
                lambda: client.create_job(upload_id, marks=MARKS, options=options, request_id=request_id),
            )
        except ResourceExhaustedError:
            soak.counts["jobs refused by a full queue"] += 1
            return None
        soak.history.made(request_id, job.job_id)
    soak.counts["jobs"] += 1
    return job.job_id


def watch_to_the_end(soak, client, job_id, chance):
    """Watch in pieces, as a client with a bad line; return the state in which the job ended."""
    after_seq, state = 0, None
    while state is None or not state.is_terminal:
        leave_after = chance.choice([1, 3, 1000])
        for event in soak.history.watching(client.watch(job_id, after_seq), job_id, after_seq):
            after_seq = event.seq
            state = getattr(event, "state", state)
            leave_after -= 1
            if not leave_after:
                break
        soak.counts["watches"] += 1
    return state


def check_stems(soak, client, job_id, song, folder):
    files = client.fetch(job_id, folder, overwrite=True)
    if not np.array_equal(sum(read_audio(stem) for stem in files.stems.values()), read_audio(song)):
        soak.history.problem(f"the stems of {job_id} do not add up to {song.name}")
    soak.counts["bytes fetched"] += sum(stem.stat().st_size for stem in files.stems.values())
    shutil.rmtree(folder)


def tidy_up(soak, client, job_id, upload_id=None):
    soak.history.deletes(job_id)
    try:
        soak.timed("DeleteJob", lambda: client.delete(job_id))
    except NotFoundError:
        if not soak.deadly:  # done, and the answer lost
            raise
    if upload_id is not None:
        delete_upload(soak, upload_id)


def delete_upload(soak, upload_id):
    with grpc.insecure_channel(soak.target) as channel:
        stub = upload_service_pb2_grpc.UploadServiceStub(channel)
        request = upload_service_pb2.DeleteUploadRequest(upload_id=upload_id)
        while True:
            try:
                stub.DeleteUpload(request, wait_for_ready=True, timeout=60)
                return
            except grpc.RpcError as error:
                lost = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND} if soak.deadly else ()
                if error.code() not in lost:
                    raise
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return


def prober(soak, name):
    """Asks small questions at a steady pace and notes how long the answers take."""
    chance = soak.random(name)
    with grpc.insecure_channel(soak.target) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        known = [""]
        while not soak.stopping.wait(1 / PROBES_A_SECOND):
            asked = chance.choice(["ListJobs", "GetJob", "ListModels"])
            try:
                if asked == "ListJobs":
                    request = job_service_pb2.ListJobsRequest(page_size=20)
                    answer = soak.timed(asked, lambda request=request: jobs.ListJobs(request, timeout=30))
                    known = [job.job_id for job in answer.jobs] or known
                elif asked == "GetJob":
                    request = job_service_pb2.GetJobRequest(job_id=chance.choice(known))
                    soak.timed(asked, lambda request=request: jobs.GetJob(request, timeout=30))
                else:
                    request = model_service_pb2.ListModelsRequest()
                    soak.timed(asked, lambda request=request: models.ListModels(request, timeout=30))
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE):
                    soak.history.problem(f"{asked} was answered with {error.code()}: {error.details()}")


def flooder(soak, name):
    """Sends nonsense as fast as it is refused. Every refusal must be a clear one."""
    chance = soak.random(name)
    with grpc.insecure_channel(soak.target) as channel:
        while not soak.stopping.is_set():
            nonsense = chance.choice(NONSENSE)
            try:
                nonsense(channel, chance)
                soak.history.problem(f"{nonsense.__name__} was taken")
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
                    soak.history.problem(f"{nonsense.__name__}: {error.code()} {error.details()}")
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    soak.stopping.wait(0.1)
            soak.counts["bad requests refused"] += 1


def sluggard(soak, name):
    """Opens streams and does not read or write them."""
    chance = soak.random(name)
    with soak.client() as client, grpc.insecure_channel(soak.target) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        upload_id = send(soak, client, soak.songs[-1])
        job_id = make_job(soak, client, upload_id, QUICK)
        if job_id is None or watch_to_the_end(soak, client, job_id, chance) is not JobState.SUCCEEDED:
            return
        while not soak.stopping.is_set():
            calls = [
                jobs.ReadStem(
                    job_service_pb2.ReadStemRequest(job_id=job_id, source="drums"), wait_for_ready=True
                ),
                jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id=job_id), wait_for_ready=True),
            ]
            try:
                stalled = create_upload(uploads)
                calls.append(uploads.WriteUpload(one_and_wait(soak, write_messages(stalled, b"")[0])))
                for call in calls:
                    next(call)
                soak.stopping.wait(STALL_S)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    soak.history.problem(f"a slow client was answered with {error.code()}: {error.details()}")
            for call in calls:
                call.cancel()
            soak.counts["streams left standing"] += len(calls)
            delete_quietly(uploads, stalled)


def one_and_wait(soak, message):
    yield message
    soak.stopping.wait(2 * STALL_S)


def persistent(work, soak, name):
    """Run a client's loop; what it cannot handle is a problem of the server, unless the soak is ending."""
    try:
        work(soak, name)
    except (UgosaClientError, grpc.RpcError) as error:
        if not soak.stopping.is_set():
            soak.history.problem(f"{name} gave up: {type(error).__name__}: {error}")
