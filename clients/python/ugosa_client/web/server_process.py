"""Private server for a page, where no other runs on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ugosa_client.address import default_target
from ugosa_client.client import UgosaClient
from ugosa_client.errors import ServerUnavailableError

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.2


@contextmanager
def private_server() -> Iterator[None]:
    """Run `ugosa-server serve` at the default address for as long as the block does.

    Raises:
        ServerUnavailableError: it is not installed, or does not start.
    """
    beside = Path(sys.executable).with_name("ugosa-server")
    command = str(beside) if beside.exists() else shutil.which("ugosa-server")
    if command is None:
        raise ServerUnavailableError(
            f"no server answers at {default_target()}, and none is installed here; "
            "install ugosa-server, or name a server with --server"
        )
    process = subprocess.Popen(
        [command, "serve"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_it_answers(process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_it_answers(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with UgosaClient() as client:
                client.models()
            return
        except ServerUnavailableError:
            if process.poll() is not None or time.monotonic() > end:
                raise ServerUnavailableError(
                    "a server was started and does not answer; `ugosa-server serve` says why"
                ) from None
        time.sleep(POLL_S)
