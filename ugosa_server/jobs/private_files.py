"""What the server makes on disk belongs to its user alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ugosa_server.errors import ConfigError


@contextmanager
def private_umask() -> Iterator[None]:
    """Files and sockets made in the block are for this user alone to read and write (not for folders)."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def make_state_dir(state_dir: str) -> Path:
    """Make the state directory, for this user alone, where it is not there yet; return its absolute path.

    Raises:
        ConfigError: it cannot be made, or this user may not write in it.
    """
    path = Path(state_dir).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the state directory {path}: {error.strerror}; choose another with --state-dir"
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(
            f"this user may not write in the state directory {path}; choose another with --state-dir, or run"
            " as the user that it belongs to"
        )
    return path
