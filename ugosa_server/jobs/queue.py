"""Jobs and job arrays from the user's side: create, watch, cancel, delete. `scheduling.py` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from ugosa_server.errors import (
    BadOptionError,
    DrainingError,
    NotFoundError,
    RequestIdConflictError,
    UgosaError,
)
from ugosa_server.failpoints import reach
from ugosa_server.jobs.drafts import JobDrafts
from ugosa_server.jobs.events import EventHub, JobEvent, JobState
from ugosa_server.jobs.model import Job, JobArray, JobDraft, Upload, check_request_id, new_id, request_digest
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.quotas import Quotas, Stream
from ugosa_server.jobs.results import JobResults
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore, Store
from ugosa_server.marks import Mark
from ugosa_server.models import ModelRegistry

MAX_ITEMS = 1000  # of an array
EVENTS_PER_READ = 100


@dataclass(frozen=True)
class ArrayItem:
    """One song of an array as it is asked for."""

    upload_id: str
    """A COMPLETE upload."""
    options: JobOptionsRequest
    """Options of the item, or of the array."""
    marks: tuple[Mark, ...]
    """Marks as received, not yet checked."""


class JobQueue:
    """All jobs and job arrays of the server. Everything is durable when a method returns.

    NotFoundError is raised where a principal has none of an id, or not any more.
    """

    def __init__(
        self,
        store: AsyncStore,
        spool: Spool,
        registry: ModelRegistry,
        hub: EventHub,
        quotas: Quotas,
        default_model: str,
        *,
        takes_pictures: bool = False,
    ) -> None:
        self.store, self.spool, self.registry, self.hub, self.quotas = store, spool, registry, hub, quotas
        self.drafts = JobDrafts(store, spool, registry, default_model, takes_pictures=takes_pictures)
        self.results = JobResults(store, spool, self.drafts)
        self.arrived = asyncio.Event()
        """Set when a job has been queued; the scheduler clears it."""
        self.draining = False
        self.on_request: Callable[[str], None] = lambda job_id: None
        """Called with the id of every job that was asked to end, or to learn no more; the scheduler's."""

    async def create(
        self,
        principal: str,
        request_id: str,
        upload_id: str,
        options_request: JobOptionsRequest,
        marks: Iterable[Mark],
        *,
        reuse: bool = False,
    ) -> Job:
        """Queue a job, or return the one that this request made before.

        With `reuse`, a job that SUCCEEDED with an equal request is returned too.

        Raises:
            InvalidInputError: options or marks that can never work; nothing was queued.
            NotFoundError, UploadIncompleteError: there is no such song (yet).
            UploadDamagedError: the song's file is damaged; it can be sent again.
            QueueFullError, QuotaError, DiskFullError, DrainingError: not now.
        """
        marks = tuple(marks)
        check_request_id(request_id)
        digest = request_digest(options_request, marks)
        # Asked early so that the answer is the same though the server drains, or song or model have gone
        # since. Two calls at once make one job because the transaction below asks again.
        known = await self.store(lambda s: s.jobs.find_request(principal, request_id, digest))
        if known is not None and known.upload_id == upload_id:
            return known
        upload = await self.store(lambda s: s.uploads.get(principal, upload_id))
        if known is not None:
            return _of_same_song(known, upload)
        self._require_not_draining()
        draft = await self.drafts.draft(upload, options_request, marks)
        if reuse:
            same = await self.store(lambda s: s.jobs.find_content(principal, draft.equal_contents))
            if same is not None and await self.results.has_stems(same):
                return same
        await asyncio.to_thread(self.spool.check_free, draft.stems_bytes)
        admit = self.quotas.check_new_job
        try:
            job = await self.store(
                lambda s: s.jobs.create(new_id("job"), request_id, digest, draft, partial(admit, s, draft))
            )
        except NotFoundError:  # what it was to start from was deleted just now: there may be another way
            return await self.create(principal, request_id, upload_id, options_request, marks, reuse=reuse)
        reach("job.created")
        self.hub.announce(job.job_id)
        self.arrived.set()
        return _of_same_song(job, upload)

    async def create_array(self, principal: str, request_id: str, items: Sequence[ArrayItem]) -> JobArray:
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
        known = await self.store(lambda s: s.arrays.find_request(principal, request_id, digest))
        if known is not None:  # asked early for the same reasons as in `create`
            return known
        self._require_not_draining()
        drafts = [await self._draft(principal, number, item) for number, item in enumerate(items, start=1)]
        await asyncio.to_thread(self.spool.check_free, sum(draft.stems_bytes for draft in drafts))
        admit = self.quotas.check_new_job
        try:
            array = await self.store(
                lambda s: s.arrays.create(principal, request_id, digest, drafts, partial(admit, s))
            )
        except NotFoundError:  # as in `create`
            return await self.create_array(principal, request_id, items)
        for job_id in array.job_ids:
            self.hub.announce(job_id)
        self.arrived.set()
        return array

    async def _draft(self, principal: str, number: int, item: ArrayItem) -> JobDraft:
        try:
            upload = await self.store(lambda s: s.uploads.get(principal, item.upload_id))
            return await self.drafts.draft(upload, item.options, item.marks)
        except UgosaError as error:
            raise error.at(f"item {number}") from error

    def _require_not_draining(self) -> None:
        if self.draining:
            raise DrainingError("the server is shutting down and takes no new jobs; try again in a minute")

    async def get(self, principal: str, job_id: str) -> Job:
        """Return a job."""
        return await self.store(lambda s: s.jobs.get(principal, job_id))

    async def get_array(self, principal: str, array_id: str) -> JobArray:
        """Return an array."""
        return await self.store(lambda s: s.arrays.get(principal, array_id))

    async def set_marks(self, principal: str, job_id: str, marks: Iterable[Mark]) -> Job:
        """Replace the marks of a job that has not started.

        Raises:
            InvalidInputError: the marks can never work; the old ones stay.
            QuotaError: they make more stems than may be stored; the old ones stay.
            JobStartedError: the job is no longer QUEUED.
        """
        job = await self.get(principal, job_id)
        job.require_whole()
        upload = await self.store(lambda s: s.uploads.get(principal, job.upload_id))
        draft = await self.drafts.with_marks(job, upload, tuple(marks))
        return await self.store(
            lambda s: s.jobs.set_marks(
                principal,
                job_id,
                draft.marks,
                draft.stems_bytes,
                admit=lambda more: self.quotas.check_bytes(s, principal, more),
            )
        )

    async def watch(self, principal: str, job_id: str, after_seq: int) -> AsyncGenerator[JobEvent, None]:
        """Yield the job's events after `after_seq`, each once and in order, to the terminal one.

        Raises:
            DrainingError: the server is shutting down; reconnect later with the last seq.
            QuotaError: the principal watches too much at once.
        """

        def read(seq: int, store: Store) -> tuple[bool, list[tuple[int, JobEvent]]]:
            ended = store.jobs.state_of(principal, job_id).ended
            events = store.events.after(job_id, seq, EVENTS_PER_READ + 1)
            return ended, [(event.seq, event) for event in events]

        async with aclosing(self._follow(principal, [job_id], after_seq, read)) as events:
            async for _, event in events:
                yield event

    async def watch_array(
        self, principal: str, array_id: str, after_seq: int
    ) -> AsyncGenerator[tuple[int, JobEvent], None]:
        """Yield (array_seq, event) after `after_seq`, each once and in order, to the end of the last job.

        Raises:
            DrainingError, QuotaError: see `watch`.
        """

        def read(seq: int, store: Store) -> tuple[bool, list[tuple[int, JobEvent]]]:
            ended = store.arrays.has_ended(principal, array_id)
            return ended, store.events.after_in_array(array_id, seq, EVENTS_PER_READ + 1)

        job_ids = (await self.get_array(principal, array_id)).job_ids
        async with aclosing(self._follow(principal, job_ids, after_seq, read)) as events:
            async for numbered in events:
                yield numbered

    async def _follow(
        self,
        principal: str,
        job_ids: Collection[str],
        after_seq: int,
        read: Callable[[int, Store], tuple[bool, list[tuple[int, JobEvent]]]],
    ) -> AsyncGenerator[tuple[int, JobEvent], None]:
        """Yield the numbered events of some jobs after `after_seq`, as they come.

        `read` returns whether all the jobs have ended, and the events after a number: at most one more than
        EVENTS_PER_READ, which says that there are more, so that after the last one nothing is read again.
        """
        with self.quotas.streaming(Stream.WATCH, principal), self.hub.listen(*job_ids) as changed:
            while True:
                changed.clear()
                ended, events = await self.store(partial(read, after_seq))
                for seq, event in events[:EVENTS_PER_READ]:
                    yield seq, event
                    after_seq = seq
                if ended and len(events) <= EVENTS_PER_READ:
                    return
                if events:
                    continue
                if self.hub.closed:
                    raise DrainingError("the server is shutting down; watch again later with the last seq")
                await changed.wait()

    async def cancel(self, principal: str, job_id: str) -> Job:
        """Ask a job to end; one that has ended is returned as it is."""
        job = await self.spool.deleting(
            lambda: self.store(lambda s: s.jobs.request_cancel(principal, job_id))
        )
        if job.state is JobState.CANCELLED:  # it may have waited for another attempt
            await asyncio.to_thread(self.spool.delete_job, job_id)
        self.hub.announce(job_id)
        self.on_request(job_id)
        return job

    async def cancel_array(self, principal: str, array_id: str) -> JobArray:
        """Ask all jobs of an array to end; those that have ended stay as they are."""
        for job_id in (await self.get_array(principal, array_id)).job_ids:
            await self.cancel(principal, job_id)
        return await self.get_array(principal, array_id)

    async def accept(self, principal: str, job_id: str) -> Job:
        """Ask a job to go on to the stems of what it has learned; one that has ended is returned as it is."""
        job = await self.store(lambda s: s.jobs.request_accept(principal, job_id))
        self.on_request(job_id)
        return job

    async def delete(self, principal: str, job_id: str) -> None:
        """Remove an ended job with its stems.

        Raises:
            JobNotFinishedError: it has not ended.
        """
        await self.spool.deleting(lambda: self.store(lambda s: s.jobs.delete(principal, job_id)))
        await asyncio.to_thread(self.spool.delete_job, job_id)
        self.hub.announce(job_id)

    async def sweep_ended(self, before_s: float, adapters_before_s: float) -> int:
        """Remove jobs of all principals that ended before a time, with their stems; return how many.

        Of those that did not end before `adapters_before_s`, an adapter stays, and the job without its stems.
        """
        job_ids, with_adapter = await self.spool.deleting(
            lambda: self.store(lambda s: s.jobs.sweep_ended(before_s, adapters_before_s))
        )
        for job_id in job_ids:
            await asyncio.to_thread(self.spool.delete_job, job_id)
            self.hub.announce(job_id)
        for job in with_adapter:
            assert job.result is not None
            assert job.result.adapter is not None
            await asyncio.to_thread(
                self.spool.keep_file, job.job_id, job.attempt, job.result.adapter.file_name
            )
        return len(job_ids)


def _of_same_song(job: Job, upload: Upload) -> Job:
    """Return the job that this request made, from this upload or from another one of the same song."""
    upload.require_song()
    if job.upload_sha256 != upload.sha256:
        raise RequestIdConflictError(
            f"request_id {job.request_id!r} was used for a job of another song; use a new one"
        )
    return job
