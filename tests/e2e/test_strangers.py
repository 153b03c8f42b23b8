"""A server with few descriptors serves its owner while strangers flood every one of its doors."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import psutil
import pytest

from tests.helpers.jobs import LONG, QUICK, silent, states, wait_for_adaptation
from tests.helpers.server import Server
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobState
from ugosa_server.wire.ugosa.v1 import upload_service_pb2_grpc

DESCRIPTORS = 256
MEMORY_BYTES = 250e6  # of the front process
ANSWER_S = 5.0  # of a busy machine; it takes some ms
MARKS = [silent("vocals", 10000, 30000)]
BOMB = """
import sys, grpc
call = grpc.insecure_channel(sys.argv[1]).unary_unary(
    "/ugosa.v1.JobService/ListJobs", request_serializer=bytes, response_deserializer=bytes
)
for _ in range(3):
    try:
        call(bytes(200_000_000), compression=grpc.Compression.Gzip, wait_for_ready=True)
    except grpc.RpcError as error:
        print(error.code())
"""


class NarrowServer(Server):
    """A server that may have few descriptors, with a port, OSC and metrics."""

    def start(self) -> None:
        """Start the process under its limit."""
        self._command = ["prlimit", f"--nofile={DESCRIPTORS}", *self._command]
        super().start()

    def place_of(self, words: str) -> tuple[str, int]:
        """Return the host and port of the line that has these words."""
        lines = self.log_path.read_text().splitlines()
        (line,) = (line for line in lines if words in line)
        host, port = line.split(words)[1].removesuffix("/metrics").rsplit(":", 1)
        return host.removeprefix("http://"), int(port)


@pytest.fixture
def server(model_dir: Path, tmp_path: Path):
    doors = ["--listen", "127.0.0.1:0", "--osc", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    with NarrowServer(tmp_path / "state", model_dir, doors) as server:
        server.wait_ready()
        yield server


def test_strangers_neither_stop_nor_slow_the_owner(server: NarrowServer, tmp_path: Path):
    port = server.place_of("listens on 127")
    port = ("127.0.0.1", port[1])
    osc, metrics = server.place_of("takes OSC on "), server.place_of("Prometheus on ")
    waits_s = []

    def ask() -> None:
        began_s = time.monotonic()
        client.get_job(running.job_id)
        waits_s.append(time.monotonic() - began_s)

    with server.client() as client, contextlib.ExitStack() as stack:
        song = write_song(make_song(5 * 44100), tmp_path / "song.wav")
        upload_id = client.upload(song).upload_id
        running = client.create_job(upload_id, marks=MARKS, options=LONG)
        wait_for_adaptation(client, running.job_id)

        for _ in range(400):  # more than the server has descriptors
            stack.enter_context(socket.create_connection(port))
        for _ in range(40):
            stack.enter_context(socket.create_connection(metrics))
        ask()
        bomb = subprocess.Popen([sys.executable, "-c", BOMB, f"{port[0]}:{port[1]}"])
        stack.callback(bomb.wait)
        stack.callback(bomb.kill)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(5000):
                sender.sendto(b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xfc", osc)
                if number % 500 == 0:
                    ask()
        crowd = stack.enter_context(grpc.insecure_channel(f"{port[0]}:{port[1]}"))
        uploads = upload_service_pb2_grpc.UploadServiceStub(crowd)
        ending = threading.Event()
        for _ in range(100):
            call = uploads.WriteUpload(iter(ending.wait, True))  # says nothing until the end
            stack.callback(call.cancel)
        stack.callback(ending.set)
        for _ in range(20):
            ask()
        client.upload(write_song(make_song(44100), tmp_path / "another.wav"))  # forks a decoder
        client.cancel(running.job_id)
        job = client.create_job(upload_id, marks=MARKS, options=QUICK)
        assert states(list(client.watch(job.job_id)))[-1] is JobState.SUCCEEDED
        ask()
        assert psutil.Process(server.process.pid).memory_info().rss < MEMORY_BYTES
    waits_s.sort()
    assert waits_s[int(0.9 * len(waits_s))] < ANSWER_S, f"{waits_s[-5:]}"
    assert urllib.request.urlopen(f"http://{metrics[0]}:{metrics[1]}/metrics", timeout=60).status == 200
    assert server.stop() == 0
