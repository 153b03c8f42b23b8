"""Limits of the queue, and of one principal, so that no one's songs or streams crowd out another's.

Counts and bytes are asked of the store, in the transaction that makes the new row, so they hold exactly.
Bytes of an upload are asked before each batch of chunks, so that parallel streams of one principal can exceed
the limit by what they have in flight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from ugosa_server.config import QuotaSettings
from ugosa_server.errors import QueueFullError, QuotaError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import JobDraft
from ugosa_server.jobs.store import Store


class Stream(Enum):
    """Kind of long call whose number is limited; the value stands in the name of its quota."""

    WATCH = "watches"
    UPLOAD = "upload_streams"
    READ = "read_streams"


@dataclass(frozen=True)
class Usage:
    """Storage that a principal uses, and may use."""

    uploads: int
    """Uploads, finished or not."""
    upload_bytes: int
    """Bytes of uploads on disk."""
    queued_jobs: int
    """Jobs that wait."""
    stem_bytes: int
    """Bytes of finished stems, and the most that those of jobs that have not ended can take."""
    max_uploads: int
    """The most that it may have."""
    max_stored_bytes: int
    """The most that uploads and stems may be together."""

    @property
    def bytes_left(self) -> int:
        """Bytes that may still be stored; below 0 when the limit was lowered."""
        return self.max_stored_bytes - self.upload_bytes - self.stem_bytes


class Quotas:
    """Holds the queue and its principals to their limits."""

    def __init__(self, limits: QuotaSettings) -> None:
        self._limits = limits
        self._open: Counter[tuple[Stream, str]] = Counter()

    @property
    def open_streams(self) -> int:
        """Number of open streams of all principals."""
        return self._open.total()

    def check_new_upload(self, store: Store, principal: str, size_bytes: int) -> None:
        """Make sure that one more upload, of so many bytes as far as is known, is permitted.

        Raises:
            QuotaError: it is not.
        """
        usage = self.usage(store, principal)
        if usage.uploads >= usage.max_uploads:
            raise _exceeded(
                "uploads",
                usage.max_uploads,
                "songs are kept for you, as many as may be; `ugosa songs` lists them, and with --delete SONG"
                " deletes one",
            )
        _check_bytes(usage, size_bytes)

    def check_new_job(self, store: Store, draft: JobDraft) -> None:
        """Make sure that there is room for one more job; called in the transaction that makes it.

        Raises:
            QueueFullError, QuotaError: there is none.
        """
        queued, most = store.jobs.count(JobState.QUEUED), self._limits.max_queued
        if queued >= most:
            raise QueueFullError(f"jobs waiting: {queued}, and the queue takes {most}; try again later")
        usage, most = self.usage(store, draft.upload.principal), self._limits.quota_queued_jobs
        if usage.queued_jobs >= most:
            raise _exceeded("queued_jobs", most, "of your jobs wait; try again later")
        _check_bytes(usage, draft.stems_bytes)

    def check_bytes(self, store: Store, principal: str, more: int) -> None:
        """Make sure that so many more bytes may be stored.

        Raises:
            QuotaError: they may not.
        """
        _check_bytes(self.usage(store, principal), more)

    def usage(self, store: Store, principal: str) -> Usage:
        """Return how much a principal stores, and may store."""
        return Usage(
            *store.totals.of_principal(principal),
            max_uploads=self._limits.quota_uploads,
            max_stored_bytes=self._limits.quota_stored_bytes,
        )

    @contextmanager
    def streaming(self, kind: Stream, principal: str) -> Iterator[None]:
        """Count a stream for as long as the block lasts.

        Raises:
            QuotaError: there are too many of its kind.
        """
        limit: int = getattr(self._limits, f"quota_{kind.value}")
        if self._open[kind, principal] >= limit:
            raise _exceeded(kind.value, limit, "such streams of yours are open; end one first")
        self._open[kind, principal] += 1
        try:
            yield
        finally:
            self._open[kind, principal] -= 1
            if not self._open[kind, principal]:
                del self._open[kind, principal]


def _check_bytes(usage: Usage, more: int) -> None:
    if more > usage.bytes_left:
        raise _exceeded(
            "stored_bytes",
            usage.max_stored_bytes,
            f"bytes may be stored for you: songs take {_megabytes(usage.upload_bytes)}, stems"
            f" {_megabytes(usage.stem_bytes)}, and {_megabytes(more)} more do not fit into"
            f" {_megabytes(usage.max_stored_bytes)}; `ugosa songs` and `ugosa jobs` list them,"
            " `ugosa songs --delete SONG` and `ugosa delete JOB` make room",
        )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _exceeded(name: str, limit: int, advice: str) -> QuotaError:
    return QuotaError(f"quota_{name}: {limit} {advice}", limit=f"quota_{name}", maximum=limit)
