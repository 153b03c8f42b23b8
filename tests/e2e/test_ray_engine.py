"""`serve --engine ray` with two workers on this machine: deaths of workers, of the node and of the server."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.helpers.jobs import LONG, QUICK, silent, states, wait_for_adaptation
from tests.helpers.server import Server, StartServer, command_of
from tests.helpers.songs import SOURCES, make_song, read_audio, write_song
from ugosa_client import JobState, Notice, UgosaClient
from ugosa_server.private_server import ServerDidNotStartError

# Not importorskip: Ray reads how it authenticates when it is imported, and other tests use it here too.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="the Ray engine is optional: pip install '.[ray]'"),
]

MARKS = [silent("vocals", 10000, 30000)]
AGENTS = ("ray::DashboardAg", "ray::RuntimeEnvA")
TWO_WORKERS = ("--engine", "ray", "--ray-workers", "2", "--metrics", "127.0.0.1:0")


def processes_of(server: Server, name: str) -> list[psutil.Process]:
    """The processes of the server's own Ray node of that name."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    return [child for child in children if name in " ".join(command_of(child)[:1])]


def check_job(client: UgosaClient, job_id: str, song: Path, out_dir: Path) -> list[str]:
    """Watch a job to its success; return the reasons of its notices."""
    events = list(client.watch(job_id))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert states(events)[-1] is JobState.SUCCEEDED
    files = client.fetch(job_id, out_dir)
    np.testing.assert_array_equal(sum(read_audio(stem) for stem in files.stems.values()), read_audio(song))
    return [event.reason for event in events if isinstance(event, Notice)]


class EveryProcess:
    """All processes of a server, noted while they live."""

    def __init__(self, server: Server) -> None:
        self._names: dict[psutil.Process, str] = {}
        for process in psutil.Process(server.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._names[process] = process.name()

    def check_gone(self) -> None:
        """Check that every process that computes or writes has ended; Ray's two agents take minutes."""
        agents = [process for process, name in self._names.items() if name.startswith(AGENTS)]
        _, left = psutil.wait_procs(set(self._names) - set(agents), timeout=60)
        for agent in agents:
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()
        assert left == []


def first_job(client: UgosaClient) -> str:
    """The id of the first job that the server gets."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        for job in client.list_jobs():
            return job.job_id
        time.sleep(0.05)
    raise AssertionError("no job came within a minute")


def test_two_jobs_survive_kill_9_of_worker_and_node(start_server: StartServer, tmp_path: Path):
    server = start_server(*TWO_WORKERS)
    with server.client() as client, ThreadPoolExecutor(2) as pool:
        songs = [write_song(make_song(5 * 44100, seed=n), tmp_path / f"song {n}.wav") for n in range(2)]
        uploads = [client.upload(song).upload_id for song in songs]

        def make_jobs(name: str) -> list[str]:
            jobs = [
                client.create_job(upload, marks=MARKS, options=LONG, request_id=f"{name} {upload}").job_id
                for upload in uploads
            ]
            for job in jobs:
                wait_for_adaptation(client, job)
            return jobs

        def check(jobs: list[str], name: str) -> list[list[str]]:
            for job in jobs:
                client.accept(job)
            folders = [tmp_path / f"{name} {number}" for number in range(2)]
            return list(pool.map(check_job, [client] * 2, jobs, songs, folders))

        jobs = make_jobs("worker")
        assert [client.get_job(job).state for job in jobs] == [JobState.RUNNING] * 2
        processes_of(server, "ray::UgosaWorker")[0].kill()
        assert sorted("WORKER_RETRY" in reasons for reasons in check(jobs, "worker")) == [False, True]

        jobs = make_jobs("node")
        (raylet,) = processes_of(server, "raylet")
        raylet.kill()
        check(jobs, "node")
        assert server.process.poll() is None
    processes = EveryProcess(server)
    assert server.stop() == 0
    processes.check_gone()


@pytest.mark.slow
def test_killed_server_leaves_no_workers_and_resumes(start_server: StartServer, tmp_path: Path):
    server = start_server(*TWO_WORKERS)
    song = write_song(make_song(5 * 44100), tmp_path / "song.wav")
    with server.client() as client:
        upload_id = client.upload(song).upload_id
        job = client.create_job(upload_id, marks=MARKS, options=LONG)
        wait_for_adaptation(client, job.job_id)
    processes = EveryProcess(server)
    assert server.kill() == -signal.SIGKILL
    processes.check_gone()
    with start_server(*TWO_WORKERS).client() as client:
        client.accept(job.job_id)
        assert "SERVER_RESTART" in check_job(client, job.job_id, song, tmp_path / "stems")


def test_front_process_holds_no_torch_and_a_private_token(start_server: StartServer, tmp_path: Path):
    server = start_server("--engine", "ray", "--ray-workers", "1")
    with server.client() as client:
        upload_id = client.upload(write_song(make_song(44100), tmp_path / "song.wav")).upload_id
        job = client.create_job(upload_id, marks=MARKS, options=QUICK)
        assert states(list(client.watch(job.job_id)))[-1] is JobState.SUCCEEDED
        report = json.loads(client.fetch(job.job_id, tmp_path / "stems").report_json.read_text())
        assert (report["device"], report["threads"]) == ("cpu", 1)
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libtorch" not in maps
    assert "_raylet" in maps
    token = tmp_path / "state" / "ray-token"
    assert token.stat().st_mode & 0o777 == 0o600
    environment = psutil.Process(server.process.pid).children()[0].environ()
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.slow
def test_batch_uses_all_workers_and_survives_its_death(start_server: StartServer, tmp_path: Path):
    server = start_server(*TWO_WORKERS)
    songs = tmp_path / "songs"
    songs.mkdir()
    for number in range(6):
        write_song(make_song(44100, seed=number), songs / f"{number}.wav")
        (songs / f"{number}.txt").write_text("0.2\t0.7\tno vocals\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ugosa_client.cli", "batch", str(songs), "-o", str(out), "--json"]
    command += ["--server", server.target, "--epochs", "20"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as batch, server.client() as client:
        watched = first_job(client)
        assert states(list(client.watch(watched)))[-1] is JobState.SUCCEEDED
        batch.kill()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(again.stdout.splitlines()[-1])
    assert [song["exit_code"] for song in result["songs"]] == [0] * 6
    assert result["songs_per_hour"] > 0
    with server.client() as client:
        jobs = list(client.list_jobs())
    assert len(jobs) == 6, "the second run took up the jobs of the first"
    spans = sorted((job.start_time, job.end_time) for job in jobs if job.start_time and job.end_time)
    assert any(start < end for (_, end), (start, _) in pairwise(spans)), "two jobs ran at the same time"
    for number in range(6):
        stems = [read_audio(out / str(number) / f"{source}.wav") for source in SOURCES]
        np.testing.assert_array_equal(sum(stems), read_audio(songs / f"{number}.wav"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address and the token file of a cluster that was there before any server."""
    token = tmp_path / "cluster-token"
    token.write_text(secrets.token_hex(32))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=1", "--include-dashboard=false", "--object-store-memory=100000000"]
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        assert any("Ray runtime started" in line for line in head.stdout)
        yield f"127.0.0.1:{port}", token
        head.terminate()


@pytest.mark.slow
def test_existing_cluster_takes_its_token_and_no_other(
    cluster: tuple[str, Path], start_server: StartServer, tmp_path: Path
):
    address, token = cluster
    arguments = ("--engine", "ray", "--ray-address", address, "--ray-workers", "1")
    config = tmp_path / "ugosa.toml"
    other = tmp_path / "other-token"
    other.write_text(secrets.token_hex(32))
    config.write_text(f'ray_token_file = "{other}"')
    with pytest.raises(ServerDidNotStartError, match="is ray_token_file its token"):
        start_server("--config", str(config), *arguments)
    config.write_text(f'ray_token_file = "{token}"')
    song = write_song(make_song(44100), tmp_path / "song.wav")
    with start_server("--config", str(config), *arguments).client() as client:
        job = client.create_job(client.upload(song).upload_id, marks=MARKS, options=QUICK)
        check_job(client, job.job_id, song, tmp_path / "stems")
