"""Job arrays from the user's side: many songs in one call and one watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from ugosa_server.errors import BadOptionError, DrainingError, UgosaError
from ugosa_server.jobs.events import JobEvent
from ugosa_server.jobs.model import JobArray, JobDraft, check_request_id, request_digest
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.queue import EVENTS_PER_READ, JobQueue
from ugosa_server.jobs.store import Store
from ugosa_server.marks import Mark

MAX_ITEMS = 1000


@dataclass(frozen=True)
class ArrayItem:
    """One song of an array as it is asked for."""

    upload_id: str
    """A COMPLETE upload."""
    options: JobOptionsRequest
    """Options of the item, or of the array."""
    marks: tuple[Mark, ...]
    """Marks as received, not yet checked."""


class JobArrays:
    """All job arrays of the server. Everything is durable when a method returns."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs
        self._store = jobs.store

    async def create(self, principal: str, request_id: str, items: Sequence[ArrayItem]) -> JobArray:
        """Queue a job for each item, or return the array that this request made before.

        Raises:
            BadOptionError: there are no items, or too many.
            InvalidInputError, NotFoundError, UploadIncompleteError: of the first item that can never work.
            QueueFullError, QuotaError, DiskFullError, DrainingError: not now.
        """
        check_request_id(request_id)
        if not 1 <= len(items) <= MAX_ITEMS:
            raise BadOptionError(f"the array has {len(items)} items, but must have 1 to {MAX_ITEMS}")
        digest = request_digest(items)
        # Asked early for the same reasons as in JobQueue.create; the transaction below asks again.
        known = await self._store(lambda s: s.arrays.find_request(principal, request_id, digest))
        if known is not None:
            return known
        if self._jobs.draining:
            raise DrainingError("the server is shutting down and takes no new jobs; try again in a minute")
        drafts = [await self._draft(principal, number, item) for number, item in enumerate(items, start=1)]
        await asyncio.to_thread(self._jobs.spool.check_free, sum(draft.stems_bytes for draft in drafts))

        array = await self._store(
            lambda s: s.arrays.create(
                principal, request_id, digest, drafts, partial(self._jobs.quotas.check_new_job, s)
            )
        )
        for job_id in array.job_ids:
            self._jobs.hub.announce(job_id)
        self._jobs.arrived.set()
        return array

    async def get(self, principal: str, array_id: str) -> JobArray:
        """Return an array.

        Raises:
            NotFoundError: there is none of that id.
        """
        return await self._store(lambda s: s.arrays.get(principal, array_id))

    async def watch(
        self, principal: str, array_id: str, after_seq: int
    ) -> AsyncGenerator[tuple[int, JobEvent], None]:
        """Yield (array_seq, event) after `after_seq`, each once and in order, to the end of the last job.

        Raises:
            NotFoundError: there is no such array (any more).
            DrainingError: the server is shutting down; reconnect later with the last array_seq.
            QuotaError: the principal watches too much at once.
        """

        def read(seq: int, store: Store) -> tuple[bool, list[tuple[int, JobEvent]]]:
            ended = store.arrays.has_ended(principal, array_id)
            return ended, store.events.after_in_array(array_id, seq, EVENTS_PER_READ + 1)

        job_ids = (await self.get(principal, array_id)).job_ids
        async with aclosing(self._jobs.follow(principal, job_ids, after_seq, read)) as events:
            async for numbered in events:
                yield numbered

    async def cancel(self, principal: str, array_id: str) -> JobArray:
        """Ask all jobs of an array to end; those that have ended stay as they are."""
        for job_id in (await self.get(principal, array_id)).job_ids:
            await self._jobs.cancel(principal, job_id)
        return await self.get(principal, array_id)

    async def _draft(self, principal: str, number: int, item: ArrayItem) -> JobDraft:
        try:
            upload = await self._store(lambda s: s.uploads.get(principal, item.upload_id))
            return await self._jobs.drafts.draft(upload, item.options, item.marks)
        except UgosaError as error:
            raise error.at(f"item {number}") from error
