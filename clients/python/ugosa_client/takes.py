"""The page of a job on demand, with all of its takes beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ugosa_client.connection import Connection
from ugosa_client.errors import JobNotFinishedError
from ugosa_client.events import JobEvent
from ugosa_client.fetch import (
    OnFetchProgress,
    fetch_base_stems,
    fetch_report,
    refuse_foreign_files,
    stem_file_names,
)
from ugosa_client.jobs import create_job, get_job
from ugosa_client.resources import UNADAPTED, Job, JobState, MarkState, StemEncoding, VerdictOutcome
from ugosa_client.result_folders import (
    BASE_FOLDER,
    REPORT_HTML,
    REPORT_JSON,
    STEMS,
    TAKES_FOLDER,
    free_folder,
    job_of_folder,
    name_files,
)
from ugosa_client.separate import finish
from ugosa_client.stem_files import PLAIN, StemFiles
from ugosa_client.wire.ugosa.v1 import job_service_pb2

BASE, MARKED = "base", "marked"
MAX_FLAC_RATE_HZ = 65_535  # above it FLAC holds multiples of 10 alone


def fetch_page(
    connection: Connection,
    job_id: str,
    folder: str | os.PathLike[str],
    *,
    all_takes: bool = False,
    overwrite: bool = False,
    stem_files: StemFiles = PLAIN,
    on_event: Callable[[JobEvent], None] | None = None,
    on_fetch: OnFetchProgress | None = None,
) -> Path:
    """Write the page of a job into the folder of its stems; return its path.

    Where the folder holds another job's, it is the one of its row with this job's, `folder`-2, -3 ...

    Args:
        connection: to the server.
        job_id: of a job that succeeded.
        folder: of its stems.
        all_takes: whether the stems of the model as it is, without and under the marks, come into `takes`
            in the folder, as FLAC where that holds the song's rate, for each of which the server separates
            the song once more; those under the marks are taken from `base` in it where they are there, or are
            kept at the server.
        overwrite: whether a report may be replaced that no earlier fetch has written.
        stem_files: rule by which the stems in the folder were named.
        on_event: called with the events of these jobs.
        on_fetch: called as stems arrive.

    Raises:
        JobNotFinishedError: the job has no stems (yet).
        OutputExistsError: a report is there that is none of this tool's.
    """
    job = get_job(connection, job_id)
    if job.state is not JobState.SUCCEEDED:
        raise JobNotFinishedError(f"job {job_id} is {job.state}, and has no report", "JOB_NOT_FINISHED")
    page = free_folder(Path(folder), job_id) / REPORT_HTML
    if not overwrite:
        refuse_foreign_files(page.parent, ())
    page.parent.mkdir(parents=True, exist_ok=True)
    names = stem_file_names(job, stem_files)
    if job_of_folder(page.parent) or not any((page.parent / name).exists() for name in names):
        # By this a later fetch knows the folder as this job's, and what is named as its stems too.
        fetch_report(connection, job_id, job_service_pb2.REPORT_FORMAT_JSON, page.with_name(REPORT_JSON))
    takes = {STEMS: {stem.source: name for stem, name in zip(job.stems, names, strict=True)}}
    for kind in other_takes(job) if all_takes else ():
        stems = _kept_stems(connection, job, page.parent, stem_files, on_fetch) if kind == MARKED else {}
        if not stems:
            place, made = page.parent / TAKES_FOLDER / kind, _take_job(connection, job, kind)
            stems = finish(connection, made, place, on_event=on_event, on_fetch=on_fetch).files.stems
        takes[kind] = {source: path.relative_to(page.parent).as_posix() for source, path in stems.items()}
    fetch_report(connection, job_id, job_service_pb2.REPORT_FORMAT_HTML, page)
    name_files(page, takes)
    return page


def other_takes(job: Job) -> list[str]:
    """Return the takes of a job that are not its stems."""
    has_silence = any(mark.state is MarkState.SILENT for mark in job.marks)
    kept_base = job.verdict is not None and job.verdict.outcome is VerdictOutcome.DID_NOT
    is_adapted = job.options.strategy != UNADAPTED and not kept_base
    return [BASE] * (has_silence or is_adapted) + [MARKED] * (has_silence and is_adapted)


def _kept_stems(
    connection: Connection, job: Job, folder: Path, rule: StemFiles, on_fetch: OnFetchProgress | None
) -> dict[str, Path]:
    """Return the stems of the model as it is, under the marks, that were fetched or kept; may be empty."""
    base, names = folder / BASE_FOLDER, stem_file_names(job, rule)
    paths = {stem.source: base / name for stem, name in zip(job.stems, names, strict=True)}
    if job_of_folder(base) == job.job_id and all(path.exists() for path in paths.values()):
        return paths
    return fetch_base_stems(connection, job, folder, stem_files=rule, on_progress=on_fetch)


def _take_job(connection: Connection, job: Job, kind: str) -> Job:
    """Return the job that makes a take, which is the same one whenever it is asked for."""
    rate_hz = job.audio.sample_rate_hz if job.audio else 0
    has_flac = rate_hz <= MAX_FLAC_RATE_HZ or rate_hz % 10 == 0
    options = replace(
        job.options,
        strategy=UNADAPTED,
        start_from="none",
        excerpt=False,
        stem_encoding=StemEncoding.FLAC_PCM24 if has_flac else StemEncoding.WAV_PCM24,
    )
    return create_job(
        connection,
        job.upload_id,
        marks=job.marks if kind == MARKED else (),
        options=options,
        request_id=f"{kind}-take-of-{job.job_id}",
    )
