"""A real server process with the tiny model, its clients and its worker."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import psutil

from ugosa_client import UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_server.private_server import ServerProcess

START_TIMEOUT_S = 60.0  # of a server until it listens, and of the process of a worker
WORKER = "ugosa_server.pipeline"  # in the command of the process that holds the network
PATIENT = RetryPolicy()


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process; of one that has just ended, nothing."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


class Server(ServerProcess):
    """`ugosa-server serve` with the tiny model."""

    def __init__(self, state_dir: Path, model_dir: Path, arguments: Sequence[str] = ()) -> None:
        self.state_dir = state_dir
        super().__init__(
            state_dir, ["--model-dir", str(model_dir), "--model", "tiny", "--device", "cpu", *arguments]
        )

    def client(self, retry: RetryPolicy = PATIENT) -> UgosaClient:
        """Return a new client of this server."""
        return UgosaClient(self.target, retry=retry)

    def wait_listening(self) -> None:
        """Return once the server takes calls; its worker may still be starting."""
        with grpc.insecure_channel(self.target) as channel:
            grpc.channel_ready_future(channel).result(START_TIMEOUT_S)

    def workers(self) -> list[psutil.Process]:
        """Return the process that holds the network; none while it is replaced."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if WORKER in command_of(child)]

    def worker(self) -> psutil.Process:
        """Return the process that holds the network."""
        (worker,) = self.workers()
        return worker


def stop(process: psutil.Process) -> psutil.Process:
    """Have a process stand still, as if hung in a driver, and return it."""
    process.send_signal(signal.SIGSTOP)
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)  # on a busy machine the signal waits for its turn
    return process


def replaced_and_stopped(server: Server) -> psutil.Process:
    """Kill the worker of a server, and return the next one, which stands still before it is ready."""
    old = server.worker()
    old.kill()
    old.wait(START_TIMEOUT_S)
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s:
        for worker in server.workers():
            return stop(worker)
    raise AssertionError("no worker process was started")


StartServer = Callable[..., Server]
