"""Jobs from the user's side: create, watch, cancel, delete. `scheduling.py` runs them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import stat
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from ugosa_server.audio import SourceAudio
from ugosa_server.errors import (
    DrainingError,
    JobNotFinishedError,
    NotFoundError,
    QueueFullError,
    RequestIdConflictError,
    ResultDamagedError,
)
from ugosa_server.failpoints import reach
from ugosa_server.jobs.drafts import JobDrafts
from ugosa_server.jobs.events import EventHub, JobEvent, JobState
from ugosa_server.jobs.model import (
    Job,
    JobDraft,
    Upload,
    check_request_id,
    new_id,
    request_digest,
    require_song,
)
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.quotas import Quotas, Stream
from ugosa_server.jobs.runs import RunSucceeded
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore, Store
from ugosa_server.marks import Mark, SongLevels, load_levels
from ugosa_server.models import ModelInfo, ModelRegistry

EVENTS_PER_READ = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResultFile:
    """A finished file of a job."""

    path: Path
    size_bytes: int


class JobQueue:
    """All jobs of the server. Everything is durable when a method returns."""

    def __init__(
        self,
        store: AsyncStore,
        spool: Spool,
        registry: ModelRegistry,
        hub: EventHub,
        default_model: str,
        max_queued: int,
        quotas: Quotas,
        *,
        sees_pictures: bool = False,
    ) -> None:
        self.store, self.spool, self.registry, self.hub, self.quotas = store, spool, registry, hub, quotas
        self._max_queued = max_queued
        self.drafts = JobDrafts(store, spool, registry, default_model, takes_pictures=sees_pictures)
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
        if self.draining:
            raise DrainingError("the server is shutting down and takes no new jobs; try again in a minute")
        draft = await self.drafts.draft(upload, options_request, marks)
        if reuse and (same := await self._same_content(draft)):
            return same
        await asyncio.to_thread(self.spool.check_free, draft.stems_bytes)
        job = await self.store(
            lambda s: s.jobs.create(
                new_id("job"), request_id, digest, draft, admit=lambda: self.admit(s, draft)
            )
        )
        reach("job.created")
        self.hub.announce(job.job_id)
        self.arrived.set()
        return _of_same_song(job, upload)

    def admit(self, store: Store, draft: JobDraft) -> None:
        """Make sure that there is room for one more job; called in the transaction that makes it.

        Raises:
            QueueFullError, QuotaError: there is none.
        """
        queued = store.jobs.count(JobState.QUEUED)
        if queued >= self._max_queued:
            raise QueueFullError(
                f"{queued} jobs are waiting and the queue takes {self._max_queued}; try again later"
            )
        self.quotas.check_new_job(store, draft.upload.principal, draft.stems_bytes)

    async def get(self, principal: str, job_id: str) -> Job:
        """Return a job.

        Raises:
            NotFoundError: there is none of that id.
        """
        return await self.store(lambda s: s.jobs.get(principal, job_id))

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
            NotFoundError: there is no such job (any more).
            DrainingError: the server is shutting down; reconnect later with the last seq.
            QuotaError: the principal watches too much at once.
        """

        def read(seq: int, store: Store) -> tuple[bool, list[tuple[int, JobEvent]]]:
            ended = store.jobs.state_of(principal, job_id).ended
            events = store.events.after(job_id, seq, EVENTS_PER_READ + 1)
            return ended, [(event.seq, event) for event in events]

        async with aclosing(self.follow(principal, [job_id], after_seq, read)) as events:
            async for _, event in events:
                yield event

    async def follow(
        self,
        principal: str,
        job_ids: Collection[str],
        after_seq: int,
        read: Callable[[int, Store], tuple[bool, list[tuple[int, JobEvent]]]],
    ) -> AsyncGenerator[tuple[int, JobEvent], None]:
        """Yield the numbered events of some jobs after `after_seq`, as they come.

        `read` returns whether all the jobs have ended, and the events after a number: at most one more than
        EVENTS_PER_READ, which says that there are more, so that after the last one nothing is read again.

        Raises:
            DrainingError, QuotaError: see `watch`.
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

    async def stem_file(
        self, principal: str, job_id: str, source: str, *, of_base: bool = False
    ) -> ResultFile:
        """Return the file of a stem, or of that of the unadapted network.

        Raises:
            JobNotFinishedError: the job has not SUCCEEDED.
            NotFoundError: it has no stem of that name, or not any more.
        """
        job = await self.get(principal, job_id)
        _check_kept(job)
        if of_base and not job.base_stems:
            raise NotFoundError(
                f"job {job_id} is {job.state.value} and has no stems of the model as it is; its option"
                f" base_stems is {job.options.base_stems.value}"
            )
        stems = job.base_stems if of_base else _result(job).stems
        for stem in stems:
            if stem.source == source:
                try:
                    return await self._file(job, stem.file_name, stem.size_bytes)
                except ResultDamagedError:
                    if not of_base or job.state.ended:
                        raise
                    raise NotFoundError(
                        f"job {job_id} ends, and has just dropped the stems of the model as it is"
                    ) from None
        names = ", ".join(stem.source for stem in stems)
        it_has = f"its stems are {names}" if names else "it is an analysis job and has no stems"
        raise NotFoundError(f"job {job_id} has no stem {source!r}; {it_has}")

    async def preview_file(self, principal: str, job_id: str, source: str) -> ResultFile:
        """Return the file of one source in the newest preview of a job that learns.

        Raises:
            NotFoundError: the job has none (yet, or any more), or not of this source.
        """
        job = await self.get(principal, job_id)
        if not job.state.ended:
            for stem in await self.store(lambda s: s.events.newest_stems(job_id, job.attempt, "preview")):
                path = self.spool.attempt_dir(job_id, job.attempt) / stem.file_name
                size_bytes = await asyncio.to_thread(_plain_size, path) if stem.source == source else None
                if size_bytes is not None:
                    return ResultFile(path, size_bytes)
        raise NotFoundError(
            f"job {job_id} is {job.state.value} and has no preview of {source!r} at this time"
        )

    async def report_file(self, principal: str, job_id: str, *, html: bool) -> ResultFile:
        """Return the file of a report.

        Raises:
            JobNotFinishedError: the job has not SUCCEEDED.
        """
        job = await self.get(principal, job_id)
        result = _result(job)
        _check_kept(job)
        if not result.report_json:
            raise NotFoundError(f"job {job_id} is an analysis job and has no report")
        return await self._file(job, result.report_html if html else result.report_json)

    async def adapter_file(self, principal: str, job_id: str) -> ResultFile:
        """Return the file of the tensors that a job changed.

        Raises:
            JobNotFinishedError: the job has not SUCCEEDED.
            NotFoundError: it has no adapter.
        """
        job = await self.get(principal, job_id)
        adapter = _result(job).adapter
        if adapter is None:
            raise NotFoundError(f"job {job_id} has no adapter: the model was kept as it is")
        return await self._file(job, adapter.file_name, adapter.size_bytes)

    async def find_analysis(
        self, principal: str, upload_id: str, model_name: str
    ) -> tuple[SourceAudio, ModelInfo, tuple[Job, SongLevels] | None]:
        """Return a song, the model of that name or the default one, and what that has analysed of the song.

        Returns:
            The last is the newest job in which it did, with its levels; None if no job has.

        Raises:
            NotFoundError, UploadIncompleteError: there is no such song (yet).
            UnknownModelError: there is no such model.
        """
        upload = await self.store(lambda s: s.uploads.get(principal, upload_id))
        song, model = require_song(upload), self.drafts.model(model_name)
        for job in await self.store(lambda s: s.jobs.succeeded_of_song(principal, upload.sha256)):
            if job.options.model != model.name or job.result is None or not job.result.levels:
                continue
            path = self.spool.attempt_dir(job.job_id, job.attempt) / job.result.levels
            try:
                levels = await asyncio.to_thread(load_levels, path)
            except FileNotFoundError:  # deleted meanwhile
                continue
            except (OSError, msgspec.DecodeError):
                log.warning("%s is damaged; the song counts as not analysed by job %s", path, job.job_id)
                continue
            # Equal bytes may be decoded otherwise: the rate of raw samples is stated beside them. Songs that
            # an earlier version decoded have no digest.
            same_song = dataclasses.replace(job.audio, path=song.path, sha256=song.sha256) == song
            if levels.model_sha256 == model.sha256 and same_song:
                return song, model, (await self.get(principal, job.job_id), levels)
        return song, model, None

    async def _file(self, job: Job, file_name: str, size_bytes: int | None = None) -> ResultFile:
        """Return a file of a job; refuse one that is gone, or has another size than it had."""
        path = self.spool.attempt_dir(job.job_id, job.attempt) / file_name
        found = await asyncio.to_thread(_plain_size, path)
        if found is None or size_bytes not in (None, found):
            log.error("the file %s of job %s is gone or damaged", path, job.job_id)
            raise ResultDamagedError(
                f"{file_name} of job {job.job_id} on the server's disk is gone or damaged; delete the job,"
                " and make it anew"
            )
        return ResultFile(path, found)

    async def _same_content(self, draft: JobDraft) -> Job | None:
        """Return a job of an equal request whose stems are there."""
        job = await self.store(lambda s: s.jobs.find_content(draft.upload.principal, draft.equal_contents))
        if job is None or job.result is None:
            return None
        try:
            for stem in job.result.stems:
                await self._file(job, stem.file_name, stem.size_bytes)
        except ResultDamagedError:
            return None
        return job


def _plain_size(path: Path) -> int | None:
    """Return the size of a file; None if there is no plain file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _of_same_song(job: Job, upload: Upload) -> Job:
    """Return the job that this request made, from this upload or from another one of the same song."""
    require_song(upload)
    if job.upload_sha256 != upload.sha256:
        raise RequestIdConflictError(
            f"request_id {job.request_id!r} was used for a job of another song; use a new one"
        )
    return job


def _check_kept(job: Job) -> None:
    """Refuse a job of which only the adapter is kept any more."""
    if job.result and job.result.adapter and not job.result.stems:
        raise NotFoundError(
            f"the stems of job {job.job_id} have been kept long enough and are gone; its adapter is here:"
            f" a job of the same song with start_from {job.job_id} and epochs 0 makes them again"
        )


def _result(job: Job) -> RunSucceeded:
    if job.result is None:
        advice = f" ({job.error.message})" if job.error else ""
        raise JobNotFinishedError(f"job {job.job_id} is {job.state.value} and has no stems{advice}")
    return job.result
