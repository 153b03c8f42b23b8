"""Durable and private files: written beside their place, synced, renamed, and the folder synced.

Everything that the server makes on disk belongs to its user alone. Not every user has a home directory: one
without an entry in /etc/passwd, as in containers, has none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ugosa_server.errors import DISK_FULL_MESSAGE, ConfigError, DiskFullError, is_disk_full, reason_of
from ugosa_server.failpoints import reach


def tmp_path_of(path: Path) -> Path:
    """Return the path at which this process writes a file before it takes its name."""
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


def delete_unfinished(path: Path) -> None:
    """Remove what processes that died have written of a file."""
    for unfinished in path.parent.glob(f"{path.name}.*.tmp"):
        unfinished.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes `path`, durably, when the block ends well; otherwise nothing is left."""
    unfinished = tmp_path_of(path)
    try:
        with unfinished.open("wb") as stream:
            yield stream
        publish(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def publish(unfinished: Path, path: Path) -> None:
    """Give a closed file its name; both its bytes and its name are durable on return."""
    sync(unfinished)
    unfinished.replace(path)
    reach("file.renamed")
    sync(path.parent)


def sha256_of_file(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def disk_full_explained() -> Iterator[None]:
    """Raise DiskFullError where the system says that there is no room (or no quota) left."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(DISK_FULL_MESSAGE) from error


def sync(path: Path) -> None:
    """Make the bytes of a file, or the entries of a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def private_umask() -> Iterator[None]:
    """Make files and sockets of the block readable and writable for this user alone (not for folders)."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def make_folder(folder: Path) -> None:
    """Make a folder of the state directory, for this user alone, where it is not there yet.

    Raises:
        ConfigError: something else is in its place, or it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder}: {reason_of(error)}; move away what is in its place, or choose"
            " another state directory"
        ) from error


def make_state_dir(state_dir: str) -> Path:
    """Make the state directory, for this user alone, where it is not there yet; return its absolute path.

    Raises:
        ConfigError: it cannot be made, or this user may not write in it.
    """
    path = expanded(state_dir).absolute()
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


def home_dir(way_out: str) -> Path:
    """Return this user's home directory.

    Raises:
        ConfigError: there is none; the message says the way out.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError(f"this user has no home directory; {way_out}, or set HOME") from None


def expanded(path: str | Path) -> Path:
    """Return a path in which `~` stands for a home directory.

    Raises:
        ConfigError: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"there is no home directory for the ~ of {path}; write the whole path") from None
