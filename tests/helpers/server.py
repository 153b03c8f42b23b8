"""A real server process with the tiny model, its clients and its worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import psutil

from ugosa_client import UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_server.private_server import ServerProcess

LISTEN_TIMEOUT_S = 60.0
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
            grpc.channel_ready_future(channel).result(LISTEN_TIMEOUT_S)

    def workers(self) -> list[psutil.Process]:
        """Return the process that holds the network; none while it is replaced."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if WORKER in command_of(child)]

    def worker(self) -> psutil.Process:
        """Return the process that holds the network."""
        (worker,) = self.workers()
        return worker


StartServer = Callable[..., Server]
