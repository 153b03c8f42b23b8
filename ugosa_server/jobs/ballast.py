"""A file that takes up room for the day on which there is none: deleting, too, has to write.

On a full disk nobody could delete anything, since SQLite writes a log before it frees a page. The ballast is
given up then, and made again once there is room.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ugosa_server.errors import DiskFullError

BALLAST_FILE_NAME = "ballast"
BALLAST_BYTES = 4 * 1024 * 1024

R = TypeVar("R")

log = logging.getLogger(__name__)


class Ballast:
    """The file in a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / BALLAST_FILE_NAME

    def take(self) -> None:
        """Make the file, unless it is there; without room there is none."""
        if self._path.exists():
            return
        try:
            with self._path.open("xb") as stream:
                os.posix_fallocate(stream.fileno(), 0, BALLAST_BYTES)
        except OSError as error:
            log.warning("no room for %s: %s", self._path, error)
            self._path.unlink(missing_ok=True)

    def give_up(self) -> bool:
        """Remove the file; False if it was not there."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        log.warning("the disk is full; %s was given up so that something can be deleted", self._path)
        return True

    async def deleting(self, work: Callable[[], Awaitable[R]]) -> R:
        """Return what `work` returns; where the disk is full, of a second try without the ballast.

        Raises:
            DiskFullError: there is no room even so.
        """
        try:
            return await work()
        except DiskFullError:
            if not await asyncio.to_thread(self.give_up):
                raise
            return await work()
