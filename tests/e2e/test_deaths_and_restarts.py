"""All that was acknowledged survives: vanished clients, dead workers, killed and drained servers."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.helpers.jobs import LONG, QUICK, silent, states, wait_for_adaptation
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import make_song, read_audio, write_song
from ugosa_client import JobOptions, JobState, Notice, UgosaClient

MARKS = [silent("vocals", 10000, 30000)]
SOME_SECONDS = JobOptions(epochs=8)
SIX_EPOCHS = JobOptions(epochs=6, segment_s=0.5, hop_s=0.1, learning_rate=1e-2, seed=3)
SONG_FRAMES = 3 * 44100


def test_a_client_that_disconnects_changes_nothing(shared_server: Server, tmp_path: Path):
    with shared_server.client() as vanishing:
        upload_id = vanishing.upload(write_song(make_song(SONG_FRAMES), tmp_path / "song.wav")).upload_id
        job = vanishing.create_job(upload_id, marks=MARKS, options=SOME_SECONDS)
        seen = wait_for_adaptation(vanishing, job.job_id)
    with shared_server.client() as client:
        rest = list(client.watch(job.job_id, after_seq=seen[-1].seq))
        assert [event.seq for event in seen + rest] == list(range(1, len(seen + rest) + 1))
        assert states(seen + rest) == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
        assert list(client.watch(job.job_id)) == seen + rest


def test_a_killed_worker_is_replaced_and_its_job_retried_once(shared_server: Server, tmp_path: Path):
    server = shared_server
    with server.client() as client:
        upload_id = client.upload(write_song(make_song(SONG_FRAMES), tmp_path / "song.wav")).upload_id
        job = client.create_job(upload_id, marks=MARKS, options=LONG)
        wait_for_adaptation(client, job.job_id)
        server.worker().kill()
        wait_for_adaptation(client, job.job_id, attempt=2)
        client.accept(job.job_id)
        events = list(client.watch(job.job_id))
        assert states(events)[-1] is JobState.SUCCEEDED
        assert "WORKER_RETRY" in [event.reason for event in events if isinstance(event, Notice)]
        assert client.get_job(job.job_id).attempt == 2
        files = client.fetch(job.job_id, tmp_path / "stems")
    np.testing.assert_array_equal(
        sum(read_audio(stem) for stem in files.stems.values()), read_audio(tmp_path / "song.wav")
    )


def test_a_job_that_loses_two_workers_fails_and_the_next_runs(shared_server: Server, tmp_path: Path):
    server = shared_server
    with server.client() as client:
        upload_id = client.upload(write_song(make_song(SONG_FRAMES), tmp_path / "song.wav")).upload_id
        job = client.create_job(upload_id, marks=MARKS, options=LONG)
        next_job = client.create_job(upload_id, marks=MARKS, options=QUICK)
        for attempt in (1, 2):
            wait_for_adaptation(client, job.job_id, attempt)
            server.worker().kill()
        assert states(list(client.watch(job.job_id)))[-1] is JobState.FAILED
        failure = client.get_job(job.job_id).failure
        assert failure is not None
        assert failure.reason == "WORKER_LOST"
        assert states(list(client.watch(next_job.job_id)))[-1] is JobState.SUCCEEDED


def test_a_second_server_on_the_same_state_is_refused(
    shared_server: Server, client: UgosaClient, model_dir: Path
):
    with Server(shared_server.state_dir, model_dir) as second:
        assert second.process.wait(timeout=60) != 0
        assert str(shared_server.state_dir) in second.log_tail()
    assert [model.name for model in client.models()].count("tiny") == 1


def test_two_clients_watch_the_same_events(shared_server: Server, client: UgosaClient, tmp_path: Path):
    upload_id = client.upload(write_song(make_song(44100), tmp_path / "song.wav")).upload_id
    job = client.create_job(upload_id, marks=MARKS, options=QUICK)
    with shared_server.client() as other:
        assert list(other.watch(job.job_id)) == list(client.watch(job.job_id))


def stopped_worker(server: Server) -> psutil.Process:
    """Return the worker that runs now or next, once it stands still."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        for worker in server.workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                if worker.status() == psutil.STATUS_STOPPED:
                    return worker
        time.sleep(0.01)
    raise AssertionError("no worker came so far")


def test_jobs_resume_bit_for_bit_whichever_process_died(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A worker is killed, then its server, then the next server is drained, each after another epoch."""
    next_kept = tmp_path / "next kept epoch"
    places = (f"worker.epoch_kept:{count}:{next_kept}" for count in range(1, 20))
    monkeypatch.setenv("UGOSA_FAILPOINT", ",".join(places))

    def stop_at_next_kept_epoch():
        next_kept.write_text(str(int(signal.SIGSTOP)))

    doors = ("--drain-grace-s", "0.5")
    server = start_server(*doors)
    with server.client() as client:
        upload_id = client.upload(write_song(make_song(SONG_FRAMES), tmp_path / "song.wav")).upload_id
        whole = client.create_job(upload_id, marks=MARKS, options=SIX_EPOCHS)
        events_of_whole = list(client.watch(whole.job_id))
        assert states(events_of_whole)[-1] is JobState.SUCCEEDED
        stop_at_next_kept_epoch()
        broken = client.create_job(upload_id, marks=MARKS, options=SIX_EPOCHS)
        queued = client.create_job(upload_id, marks=MARKS, options=QUICK)
        worker = stopped_worker(server)
        stop_at_next_kept_epoch()
        worker.kill()
        seen = wait_for_adaptation(client, broken.job_id, attempt=2)
    worker = stopped_worker(server)
    assert server.kill() == -signal.SIGKILL
    worker.send_signal(signal.SIGCONT)
    worker.wait(timeout=60)  # it must not go on writing into a job of the next server

    stop_at_next_kept_epoch()
    server = start_server(*doors)
    stopped_worker(server)
    assert server.stop() == 0  # drained in the middle of the adaptation

    server = start_server()
    with server.client() as client:
        rest = list(client.watch(broken.job_id, after_seq=seen[-1].seq))
        events = seen + rest
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert states(events)[-1] is JobState.SUCCEEDED
        resumed = {event.attempt for event in events if getattr(event, "reason", "") == "RESUMED"}
        assert resumed >= {2, 3}
        digests = [
            {stem.source: stem.sha256 for stem in client.get_job(job.job_id).stems} for job in (whole, broken)
        ]
        assert digests[0] == digests[1] != {}
        report = json.loads(client.fetch(broken.job_id, tmp_path / "stems").report_json.read_text())
        assert [loss["epoch"] for loss in report["adaptation"]["epoch_losses"]] == [1, 2, 3, 4, 5, 6]

        assert list(client.watch(whole.job_id)) == events_of_whole
        files = client.fetch(whole.job_id, tmp_path / "stems of whole")
        again = client.create_job(upload_id, marks=MARKS, options=QUICK)
        for job in (queued, again):
            assert states(list(client.watch(job.job_id)))[-1] is JobState.SUCCEEDED
    assert server.stop() == 0  # checkpoints go after the last event
    assert not list((tmp_path / "state" / "checkpoints").iterdir())
    np.testing.assert_array_equal(
        sum(read_audio(stem) for stem in files.stems.values()), read_audio(tmp_path / "song.wav")
    )
