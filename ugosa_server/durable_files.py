"""Files that survive a crash whole: written beside their place, synced, renamed, and the folder synced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ugosa_server.failpoints import reach


def tmp_path_of(path: Path) -> Path:
    """Where a file is written before it takes its name."""
    return path.with_name(path.name + ".tmp")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that becomes `path`, durably, when the block ends well; else nothing is left."""
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
    _sync(unfinished)
    unfinished.replace(path)
    reach("file.renamed")
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
