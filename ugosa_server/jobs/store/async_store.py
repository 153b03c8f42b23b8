"""The durable state of the server: one SQLite database, written by one connection on one thread."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ugosa_server.errors import DISK_FULL_MESSAGE, ConfigError, DiskFullError, StoreDamagedError
from ugosa_server.jobs.store.array_table import ArrayTable
from ugosa_server.jobs.store.clock_table import ClockTable
from ugosa_server.jobs.store.event_table import EventTable
from ugosa_server.jobs.store.job_table import JobTable
from ugosa_server.jobs.store.rows import Database
from ugosa_server.jobs.store.schema import open_database, open_read_only
from ugosa_server.jobs.store.statistics import Totals
from ugosa_server.jobs.store.token_table import TokenTable
from ugosa_server.jobs.store.upload_table import UploadTable

STORE_FILE_NAME = "ugosa.sqlite"
SHARED_MEMORY_BYTES = 32 * 1024  # what SQLite makes at least beside a write-ahead log
MAX_GROUP = 256  # pieces of work that are committed together

R = TypeVar("R")


def is_full(error: apsw.Error, path: Path) -> bool:
    """Return whether an error of the store at `path` means that its disk is full, or can only be read.

    SQLite says so of the database and its log, but of their shared memory only that it could not be made.
    """
    if isinstance(error, apsw.FullError | apsw.ReadOnlyError):
        return True
    return isinstance(error, apsw.IOError) and shutil.disk_usage(path.parent).free < SHARED_MEMORY_BYTES


class Store:
    """The tables on their connection; to be used on one thread only."""

    def __init__(self, path: Path, vfs: str | None = None, *, read_only: bool = False) -> None:
        try:
            self.database = Database(open_read_only(path) if read_only else open_database(path, vfs))
        except apsw.Error as error:
            if is_full(error, path):
                raise DiskFullError(
                    f"the store {path} cannot be opened: the disk is full, or can only be read; free some"
                    " space and start again"
                ) from error
            if isinstance(error, apsw.BusyError):
                raise ConfigError(
                    f"cannot open the store {path}: another process is writing to it; try again in a minute"
                ) from error
            raise ConfigError(
                f"cannot open the store {path}: {error}; put back a copy of it, or choose"
                " another state directory"
            ) from error
        self.events = EventTable(self.database)
        self.clock = ClockTable(self.database)
        self.jobs = JobTable(self.database, self.events, self.clock)
        self.arrays = ArrayTable(self.database, self.jobs)
        self.uploads = UploadTable(self.database, self.clock)
        self.tokens = TokenTable(self.database, self.clock)
        self.totals = Totals(self.database)

    def deleted_ids(self) -> set[str]:
        """Return the ids of uploads and jobs whose row was removed while their folder may still be there."""
        return set(self.database.strings("SELECT id FROM deletions"))  # written by triggers

    def clear_deleted_ids(self) -> None:
        """Remove them, once no folder of theirs is left."""
        self.database.execute("DELETE FROM deletions")

    def version(self) -> int:
        """Return a number that is another one once another process has written."""
        return self.database.value(int, "PRAGMA data_version")

    def close(self) -> None:
        """Close the database; the write-ahead log is folded back."""
        self.database.connection.close()


@dataclass
class _Waiting:
    """A piece of work on its way to the store's thread, and then its outcome."""

    work: Callable[[Store], Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class AsyncStore:
    """The store for the event loop: `await store(lambda s: s.jobs.get(principal, job_id))`.

    What waits together is committed together: the wait for the disk, which is most of the cost, is shared,
    and still no result is given before it is durable. Each piece of work is all or nothing by itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._store = self._thread.submit(Store, path).result()
        self._waiting: deque[_Waiting] = deque()

    async def __call__(self, work: Callable[[Store], R]) -> R:
        """Run `work(store)` on the store's thread.

        Raises:
            DiskFullError: what it would write does not fit; nothing of it is written.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop.create_future())
        self._waiting.append(waiting)
        loop.run_in_executor(self._thread, self._commit_group, loop)
        try:
            result: R = await waiting.done
        except apsw.Error as error:
            if is_full(error, self._path):
                raise DiskFullError(DISK_FULL_MESSAGE) from error
            if isinstance(error, apsw.CorruptError | apsw.NotADBError):
                raise StoreDamagedError(
                    "the server's database is damaged; whoever runs it stops it and puts back a copy"
                ) from error
            raise
        return result

    def close(self) -> None:
        """Finish what is under way and close the database."""
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()

    def _commit_group(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what waits, in order, in one transaction. Called once for each piece; most find nothing left."""
        group: list[_Waiting] = []
        while self._waiting and len(group) < MAX_GROUP:
            group.append(self._waiting.popleft())
        if not group:
            return
        self._commit(group)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, group)

    def _commit(self, group: list[_Waiting]) -> None:
        """Do all in one transaction; where that cannot be committed, each in one of its own."""
        database = self._store.database
        try:
            with database.transaction():
                for waiting in group:
                    waiting.error = None
                    try:
                        with database.transaction():
                            waiting.result = waiting.work(self._store)
                    except Exception as error:
                        if not database.connection.in_transaction:
                            raise  # SQLite ends one by itself where the disk is full
                        waiting.error = error
        except Exception as error:  # nothing of the group is on disk
            if len(group) == 1:
                group[0].error = error
            else:  # what is only read, or fits, must not fail with what does not
                for waiting in group:
                    self._commit([waiting])


def _resolve(group: list[_Waiting]) -> None:
    for waiting in group:
        if waiting.done.done():  # whoever asked has gone
            continue
        if waiting.error is None:
            waiting.done.set_result(waiting.result)
        else:
            waiting.done.set_exception(waiting.error)
