"""Child process `ugosa-server serve`: started, awaited until it serves, and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ugosa_server.errors import UgosaError

LISTENS_ON = "ugosa-server listens on "  # the server prints a line for each address
READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
HEALTH_CALL_TIMEOUT_S = 0.5
LOG_TAIL_LINES = 30


class ServerDidNotStartError(UgosaError):
    """The server process ended, or did not serve in time; the message has the end of its log."""


class ServerProcess:
    """One server on a Unix socket in a private folder; its log is kept in a file."""

    def __init__(self, state_dir: Path, arguments: Sequence[str] = ()) -> None:
        # Not below state_dir: the path of a socket has room for only 107 bytes.
        self._run_dir = Path(tempfile.mkdtemp(prefix="ugosa-", dir="/tmp" if os.path.isdir("/tmp") else None))
        self.target = f"unix:{self._run_dir / 'ugosa.sock'}"
        self.log_path = self._run_dir / "server.log"
        self._command = [sys.executable, "-m", "ugosa_server.cli", "serve", "--state-dir", str(state_dir)]
        self._command += ["--listen", self.target, *arguments]
        self.start()

    def start(self) -> None:
        """Start the process; once more, on the same state and address, when the one before has ended."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def listens_on(self) -> list[str]:
        """Return all addresses of the server, with the ports that it took where 0 was asked for."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.removeprefix(LISTENS_ON) for line in lines if line.startswith(LISTENS_ON)]

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the server serves.

        Raises:
            ServerDidNotStartError: it ended, or `timeout_s` seconds went by.
        """
        attempts = int(timeout_s / HEALTH_CALL_TIMEOUT_S)
        with grpc.insecure_channel(self.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for _ in range(attempts):
                if self.process.poll() is not None:
                    raise ServerDidNotStartError(
                        f"the server ended with status {self.process.returncode}:\n{self.log_tail()}"
                    )
                try:
                    answers = health.Watch(
                        health_pb2.HealthCheckRequest(), timeout=HEALTH_CALL_TIMEOUT_S, wait_for_ready=True
                    )
                    if any(a.status == health_pb2.HealthCheckResponse.SERVING for a in answers):
                        return
                except grpc.RpcError as error:
                    if error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                        raise
        raise ServerDidNotStartError(f"the server did not serve within {timeout_s:.0f} s:\n{self.log_tail()}")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask the server to drain (SIGTERM) and return its exit status; kill it after `timeout_s` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the server at once (SIGKILL), as a power cut would, and return its exit status."""
        self.process.kill()
        return self.process.wait()

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)
