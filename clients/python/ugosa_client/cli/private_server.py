"""A server of one's own where none runs on this machine: started by a command, ended by itself when idle.

It is what `ugosa-server serve` is: the same socket, jobs and stems, so that later commands find what earlier
ones left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ugosa_client.address import default_target, is_server_named
from ugosa_client.errors import ServerUnavailableError

IDLE_MINUTES = 10
START_TIMEOUT_S = 180.0
POLL_S = 0.1
SERVER_PROGRAM = "ugosa-server"
LOG_NAME = "server.log"
LOCK_NAME = "start.lock"


def ensure_server(server: str | None, say: Callable[[str], None]) -> None:
    """Start a private server if no address is named, none answers, and the server is installed here.

    Of several commands at once, one starts it and the others use it.

    Args:
        server: address that the user named; None = none.
        say: is given one line about a server that was started.

    Raises:
        ServerUnavailableError: the server was started and ended again, or did not listen in time.
    """
    if sys.platform == "win32" or server or is_server_named():
        return
    path = Path(default_target().removeprefix("unix:"))
    program = find_program()
    if program is None or _listens(path):
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent / LOCK_NAME):
        if not _listens(path):
            log_path = path.parent / LOG_NAME
            _start(program, path, log_path)
            say(
                f"no server was running: started one, which ends after {IDLE_MINUTES} minutes without work "
                f"(log: {log_path})"
            )


def find_program() -> str | None:
    """Return the server's program: of this Python's environment, or on PATH; None if it is not installed."""
    beside = Path(sys.executable).with_name(SERVER_PROGRAM)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(SERVER_PROGRAM)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(os.fspath(path))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that one command at a time can have."""
    import fcntl  # no such module on Windows

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(program: str, path: Path, log_path: Path) -> None:
    command = [program, "serve", "--exit-when-idle-s", str(60 * IDLE_MINUTES)]
    with open(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=path.parent,
            start_new_session=True,  # Ctrl-C is for the command, not for its server
        )
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not _listens(path):
        if process.poll() is not None:
            lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines() or ["it said nothing"]
            raise ServerUnavailableError(
                f"no server was running, and the one that was started ended at once: {lines[-1]} "
                f"(log: {log_path})"
            )
        if time.monotonic() > deadline_s:
            raise ServerUnavailableError(
                f"no server was running, and the one that was started does not listen at {path} after "
                f"{START_TIMEOUT_S:.0f} s (log: {log_path})"
            )
        time.sleep(POLL_S)
