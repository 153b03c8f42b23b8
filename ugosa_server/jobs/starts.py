"""Warm starts: what an earlier job of the song has learned, chosen when a job is made.

A job may begin with the adapter of an earlier one in place of the model as it is. A wrong mark that was
learned would stay in the weights, so a job starts from an adapter only if all silence that the adapter has
learned is still marked. Where nothing has changed that decides what is learned, the job learns nothing and
takes the adapter as it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from ugosa_server.adaptation import parse_strategy
from ugosa_server.adaptation.adapter_keys import AdapterKeys, read_adapter_keys
from ugosa_server.adaptation.presets import uses_model_defaults
from ugosa_server.adaptation.strategies import Objective
from ugosa_server.errors import BadOptionError, CheckpointError, NotFoundError
from ugosa_server.jobs.model import Job, JobDraft
from ugosa_server.jobs.options import JobOptionsRequest, check_adaptation
from ugosa_server.jobs.runs import JobKind, JobOptions
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.marks import clock, complement, intersect
from ugosa_server.models import ModelInfo

AUTO = "auto"
NO_START = "none"
WARM_EPOCHS = 3  # at most, where the request says nothing of how long to learn


class Starts:
    """Finds the adapters that jobs start from."""

    def __init__(self, store: AsyncStore, spool: Spool) -> None:
        self._store = store
        self._spool = spool

    async def path(self, principal: str, start_from: str) -> Path:
        """Return the file of a job's adapter, or of one that was uploaded.

        Raises:
            NotFoundError, UploadIncompleteError: there is no such job or upload (yet).
            BadOptionError: it has no adapter.
        """
        if start_from.startswith("upload-"):
            upload = await self._store(lambda s: s.uploads.get(principal, start_from))
            upload.require_complete()
            if not upload.format.is_adapter:
                raise BadOptionError(
                    f"start_from: upload {start_from} is no adapter; upload one as AdapterFormat"
                )
            return self._spool.bytes_path(start_from)
        if not start_from.startswith("job-"):
            raise BadOptionError(
                f"start_from is {start_from!r}, but must be auto, none, the id of a job, or that of an"
                " uploaded adapter"
            )
        path = self._path_of(await self._store(lambda s: s.jobs.get(principal, start_from)))
        if path is None:
            raise BadOptionError(
                f"start_from: job {start_from} has no adapter: it learned nothing, or kept the model as it is"
            )
        return path

    async def choose(self, draft: JobDraft, request: JobOptionsRequest, model: ModelInfo) -> JobOptions:
        """Return the options of a job with its start resolved: "none", or the id of a job or an upload.

        Args:
            draft: the checked job, whose start_from is as it was stated.
            request: the options as they were stated.
            model: of the job.

        Raises:
            NotFoundError, UploadIncompleteError: there is no such job or upload (yet).
            BadOptionError: the job cannot start from it.
        """
        options = draft.options
        if options.start_from == NO_START or options.kind is JobKind.ANALYSIS:
            return replace(options, start_from=NO_START)
        if options.start_from == AUTO:
            return await self._newest(draft, request, model)
        path = await self.path(draft.upload.principal, options.start_from)
        keys = await asyncio.to_thread(read_adapter_keys, path)
        if "strategy" not in request.adaptation:
            options = replace(options, adaptation=replace(options.adaptation, strategy=keys.strategy))
            check_adaptation(options.adaptation, model.config)
        check_start(keys, replace(draft, options=options), model)
        return _with_few_epochs(options, request)

    async def _newest(self, draft: JobDraft, request: JobOptionsRequest, model: ModelInfo) -> JobOptions:
        cold = replace(draft.options, start_from=NO_START)
        depth = parse_strategy(cold.adaptation.strategy).depth
        if depth is None or cold.adaptation.epochs == 0 or not uses_model_defaults(request.preset):
            return cold
        principal, sha256 = draft.upload.principal, draft.upload.sha256
        jobs = await self._store(lambda s: s.jobs.succeeded_of_song(principal, sha256))
        # A job that learned nothing has the adapter of the one that it started from, which comes later.
        alike = [
            (job.job_id, path)
            for job in jobs
            if (path := self._path_of(job)) is not None
            and job.options.model == model.name
            and job.options.adaptation.strategy == cold.adaptation.strategy
            and job.options.adaptation.epochs > 0
        ]
        if not alike:
            return cold
        job_id, path = alike[0]
        try:
            check_start(await asyncio.to_thread(read_adapter_keys, path), draft, model)
            job = await self._store(lambda s: s.jobs.get(principal, job_id))  # with its marks
        except (BadOptionError, CheckpointError, NotFoundError):  # or it was deleted just now
            return cold
        warm = _with_few_epochs(replace(cold, start_from=job_id), request)
        if (
            sorted(job.marks) == sorted(draft.marks)
            and job.options.adaptation in (cold.adaptation, warm.adaptation)
            and not job.accepted  # then it has learned less than its options say
            and (job.options.seed, job.options.instruments) == (cold.seed, cold.instruments)
            and _is_filtered_alike(job.options, cold)
        ):
            return replace(warm, adaptation=replace(warm.adaptation, epochs=0))
        return warm

    def _path_of(self, job: Job) -> Path | None:
        if job.result is None or job.result.adapter is None:
            return None
        return self._spool.attempt_dir(job.job_id, job.attempt) / job.result.adapter.file_name


def check_start(keys: AdapterKeys, draft: JobDraft, model: ModelInfo) -> None:
    """Make sure that a job can start from an adapter.

    Args:
        keys: of the adapter.
        draft: the checked job.
        model: of the job.

    Raises:
        BadOptionError: it was learned on another model or song, or at another depth, or from silence that is
            not marked any more.
    """
    song, strategy = draft.upload.audio, parse_strategy(draft.options.adaptation.strategy)
    assert song is not None
    if keys.base_sha256 != model.sha256:
        raise BadOptionError(
            f"start_from: that was learned on another model than {model.name}, or on another version of it;"
            " name that model, or start from auto or none"
        )
    if song.sha256 and keys.audio_sha256 != song.sha256:
        raise BadOptionError("start_from: that was learned on another song; start from auto or none")
    if strategy.depth is None:
        raise BadOptionError(
            "start_from: strategy B0 learns nothing and separates with the model as it is; to separate with"
            " what was learned, leave the strategy out and let epochs be 0"
        )
    if strategy.depth != parse_strategy(keys.strategy).depth:
        raise BadOptionError(
            f"start_from: that was learned with {keys.strategy}, but the job is to learn with {strategy};"
            " leave the strategy out"
        )
    marks = draft.ensemble_marks.at_rate(song.sample_rate_hz, model.sample_rate_hz)
    for source, learned in keys.silence.items():
        frames = max((stop for _, stop in learned), default=0)
        lost = intersect(learned, complement(marks.silent(source), frames))
        if lost:
            start_s, end_s = (frame / model.sample_rate_hz for frame in lost[0])
            raise BadOptionError(
                f"start_from: that has learned that {source} is silent from {clock(start_s)} to"
                f" {clock(end_s)}, which is not marked any more; start from the model as it is (none)"
            )


def _is_filtered_alike(one: JobOptions, other: JobOptions) -> bool:
    """Return whether remixes and the calibration, where there are any, are of the same Wiener filter."""
    if parse_strategy(one.adaptation.strategy).objective is not Objective.REMIX:
        return True
    return one.separation.wiener_exponent == other.separation.wiener_exponent


def _with_few_epochs(options: JobOptions, request: JobOptionsRequest) -> JobOptions:
    """Return the options with fewer epochs, unless the request says how long to learn."""
    if {"epochs", "max_steps", "max_s"} & request.adaptation.keys():
        return options
    epochs = min(options.adaptation.epochs, WARM_EPOCHS)
    return replace(options, adaptation=replace(options.adaptation, epochs=epochs))
