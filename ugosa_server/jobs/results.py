"""Finished files of jobs: stems, previews, reports, adapters, and the levels of an analysis."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from ugosa_server.audio import SourceAudio
from ugosa_server.errors import JobNotFinishedError, NotFoundError, ResultDamagedError
from ugosa_server.jobs.drafts import JobDrafts
from ugosa_server.jobs.model import Job
from ugosa_server.jobs.runs import RunSucceeded
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.marks import SongLevels, load_levels
from ugosa_server.models import ModelInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResultFile:
    """A finished file of a job."""

    path: Path
    size_bytes: int
    stamp: tuple[int, int] | None = None
    """Inode and time of writing, of a file in whose place another one may come; see `stamp_of`."""


class SongAnalysis(NamedTuple):
    """A song, a model, and the newest job in which that has analysed it."""

    song: SourceAudio
    model: ModelInfo
    job: Job | None = None
    """None: it has not."""
    levels: SongLevels | None = None
    """Those that the job has measured."""


class JobResults:
    """Finds the files of jobs. One that is gone, or has another size than it had, is refused."""

    def __init__(self, store: AsyncStore, spool: Spool, drafts: JobDrafts) -> None:
        self._store, self._spool, self._drafts = store, spool, drafts

    async def stem_file(
        self, principal: str, job_id: str, source: str, *, of_base: bool = False
    ) -> ResultFile:
        """Return the file of a stem, or of that of the unadapted network.

        Raises:
            JobNotFinishedError: the job has not SUCCEEDED.
            NotFoundError: it has no stem of that name, or not any more.
        """
        job = await self._job(principal, job_id)
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

    async def preview_file(self, principal: str, job_id: str, source: str, step: int) -> ResultFile:
        """Return the file of one source in the preview after a step (0 = the newest) of a job that learns.

        Raises:
            NotFoundError: the job has none (yet, or any more), or not of this source.
        """
        job = await self._job(principal, job_id)
        previews = await self._store(lambda s: s.events.previews(job_id, job.attempt))
        preview = next((preview for preview in previews if step in (0, preview.step)), None)
        if preview and not job.state.ended:
            for stem in preview.stems:
                path = self._spool.attempt_dir(job_id, job.attempt) / stem.file_name
                status = await asyncio.to_thread(_plain_status, path) if stem.source == source else None
                if status and status.st_size == stem.size_bytes:  # else a newer one is taking its place
                    return ResultFile(path, status.st_size, stamp_of(status))
        which = f" after step {step}" if step else ""
        raise NotFoundError(
            f"job {job_id} is {job.state.value} and has no preview of {source!r}{which} at this time"
        )

    async def report_file(self, principal: str, job_id: str, *, html: bool) -> ResultFile:
        """Return the file of a report.

        Raises:
            JobNotFinishedError: the job has not SUCCEEDED.
        """
        job = await self._job(principal, job_id)
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
        job = await self._job(principal, job_id)
        adapter = _result(job).adapter
        if adapter is None:
            raise NotFoundError(f"job {job_id} has no adapter: the model was kept as it is")
        return await self._file(job, adapter.file_name, adapter.size_bytes)

    async def find_analysis(self, principal: str, upload_id: str, model_name: str) -> SongAnalysis:
        """Return what the model of that name, or the default one, has analysed of a song.

        Raises:
            NotFoundError, UploadIncompleteError: there is no such song (yet).
            UnknownModelError: there is no such model.
        """
        upload = self._spool.located(await self._store(lambda s: s.uploads.get(principal, upload_id)))
        song, model = upload.require_song(), self._drafts.model(model_name)
        for job in await self._store(lambda s: s.jobs.succeeded_of_song(principal, upload.sha256)):
            if job.options.model != model.name or job.result is None or not job.result.levels:
                continue
            path = self._spool.attempt_dir(job.job_id, job.attempt) / job.result.levels
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
                return SongAnalysis(song, model, await self._job(principal, job.job_id), levels)
        return SongAnalysis(song, model)

    async def _file(self, job: Job, file_name: str, size_bytes: int | None = None) -> ResultFile:
        path = self._spool.attempt_dir(job.job_id, job.attempt) / file_name
        found = await asyncio.to_thread(_plain_status, path)
        if found is None or size_bytes not in (None, found.st_size):
            _check_kept(await self._job(job.principal, job.job_id))  # or it was deleted just now
            log.error("the file %s of job %s is gone or damaged", path, job.job_id)
            raise ResultDamagedError(
                f"{file_name} of job {job.job_id} on the server's disk is gone or damaged; delete the job,"
                " and make it anew"
            )
        return ResultFile(path, found.st_size)

    async def has_stems(self, job: Job) -> bool:
        """Return whether a job has a result, all of whose stems are on disk."""
        if job.result is None:  # its row may be damaged, though it SUCCEEDED
            return False
        try:
            for stem in job.result.stems:
                await self._file(job, stem.file_name, stem.size_bytes)
        except (NotFoundError, ResultDamagedError):
            return False
        return True

    async def _job(self, principal: str, job_id: str) -> Job:
        return await self._store(lambda s: s.jobs.get(principal, job_id))


def stamp_of(status: os.stat_result) -> tuple[int, int]:
    """Return what is another pair for a file that has taken the place of one."""
    return status.st_ino, status.st_mtime_ns


def _plain_status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if there is no plain file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


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
