"""The durable state of the server: one SQLite database, written by one connection on one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from ugosa_server.errors import DiskFullError
from ugosa_server.jobs.array_table import ArrayTable
from ugosa_server.jobs.event_table import EventTable
from ugosa_server.jobs.job_table import JobTable
from ugosa_server.jobs.principals import TokenTable
from ugosa_server.jobs.schema import open_database
from ugosa_server.jobs.totals import Totals
from ugosa_server.jobs.upload_table import UploadTable

STORE_FILE_NAME = "ugosa.sqlite"

R = TypeVar("R")


class Store:
    """The tables on their connection; to be used on one thread only."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._connection = open_database(str(path), vfs)
        self.events = EventTable(self._connection)
        self.jobs = JobTable(self._connection, self.events)
        self.arrays = ArrayTable(self._connection, self.jobs)
        self.uploads = UploadTable(self._connection)
        self.tokens = TokenTable(self._connection)
        self.totals = Totals(self._connection)

    def close(self) -> None:
        """Close the database; the write-ahead log is folded back."""
        self._connection.close()


class AsyncStore:
    """The store for the event loop: `await store(lambda s: s.jobs.get(principal, job_id))`."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._store = self._thread.submit(Store, path).result()

    async def __call__(self, work: Callable[[Store], R]) -> R:
        """Run `work(store)` on the store's thread.

        Raises:
            DiskFullError: what it would write does not fit; nothing of it is written.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._store)
        except apsw.FullError as error:
            raise DiskFullError(
                "the disk of the state directory is full; delete old jobs or free some space, then try again"
            ) from error

    def close(self) -> None:
        """Finish what is under way and close the database."""
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()
