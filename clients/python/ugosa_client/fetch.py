"""Results on disk: resumed, checked against their sha256, put in place whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from ugosa_client.connection import Connection
from ugosa_client.errors import (
    IntegrityError,
    JobNotFinishedError,
    NotFoundError,
    OutputError,
    OutputExistsError,
    ServerError,
    ServerUnavailableError,
    reason_of,
)
from ugosa_client.jobs import get_job
from ugosa_client.resources import Job, JobState, Stem
from ugosa_client.result_folders import (
    BASE_FOLDER,
    REPORT_HTML,
    REPORT_JSON,
    STEMS,
    free_folder,
    job_of_folder,
    link_latest,
    name_files,
    remove_replaced,
    take_folder,
)
from ugosa_client.stem_files import PLAIN, StemFiles, check_lossy_rate, encode_lossy, safe_file_name
from ugosa_client.wire.ugosa.v1 import audio_pb2, job_service_pb2

ADAPTER_SUFFIX = ".ugosa"
Stream = AbstractContextManager[Iterator[Any]]
OnFetchProgress = Callable[[str, int, int], None]
"""Called with (file name, bytes on disk, all bytes)."""


@dataclass(frozen=True)
class FetchedFiles:
    """Files of the output directory after a fetch."""

    stems: dict[str, Path]
    """Path of each stem by its source, in the model's order."""
    report_json: Path
    """The report for programs."""
    report_html: Path | None
    """The report for people: one page; None if the job was to have none (`ugosa report` makes it)."""
    base_stems: dict[str, Path] = field(default_factory=dict)
    """The same as `stems`, of the model as it is, if the job gave those too; in the folder `base`."""

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        reports = [self.report_json] + ([self.report_html] if self.report_html else [])
        return [*self.stems.values(), *reports, *self.base_stems.values()]

    @property
    def folder(self) -> Path:
        """The directory that holds them."""
        return self.report_json.parent


def fetch_results(
    connection: Connection,
    job_id: str,
    out_dir: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    beside: bool = False,
    stem_files: StemFiles = PLAIN,
    on_progress: OnFetchProgress | None = None,
) -> FetchedFiles:
    """Write the stems and the reports of a job that succeeded into `out_dir`.

    A stem that is there already, byte for byte, is left as it is; one that is there in part is completed.
    `stem_files` says how the stems are named, and whether they are encoded anew. With `beside`, results of
    another job that `out_dir` holds stay, and these come into `out_dir`-2, -3 ... beside it. Stems of the
    model as it is, where they are kept, go to a folder `base` in it.

    Raises:
        JobNotFinishedError: the job has no stems (yet).
        OutputExistsError: a file of the same name is there that is not a result of this tool.
        OutputError: the directory cannot be written.
        IntegrityError: a stem does not have the sha256 that the server says.
    """
    job = get_job(connection, job_id)
    if job.state is not JobState.SUCCEEDED:
        raise JobNotFinishedError(
            f"job {job_id} is {job.state}, and only a job that succeeded has stems", "JOB_NOT_FINISHED"
        )
    if not job.stems and job.adapter is not None:
        raise NotFoundError(
            f"the stems of job {job_id} have been kept long enough and are gone; its adapter is there: `ugosa"
            f" separate SONG --marks FILE --start-from {job_id} --epochs 0` makes them again"
        )
    first = Path(out_dir)
    folder, is_own = first, False
    while not is_own:
        folder = free_folder(first, job_id) if beside else first
        paths = _paths(job, folder, stem_files, overwrite=overwrite)
        with _write_errors_explained(folder, job_id):
            folder.mkdir(parents=True, exist_ok=True)
            is_own = not beside or take_folder(folder, job_id)
    with _write_errors_explained(folder, job_id):
        if not beside:
            remove_replaced(folder, job_id, stem_files, [path.name for path in paths.values()])
            if not job.base_stems:
                remove_replaced(folder / BASE_FOLDER, job_id, stem_files, ())
        # The report comes first: with it in place, an interrupted fetch finds its own stems again.
        fetch_report(connection, job_id, job_service_pb2.REPORT_FORMAT_JSON, folder / REPORT_JSON)
        page = None
        if job.options.excerpt is not False:
            page = folder / REPORT_HTML
            fetch_report(connection, job_id, job_service_pb2.REPORT_FORMAT_HTML, page)
            name_files(page, {STEMS: {stem.source: path.name for stem, path in paths.items()}})
        _fetch_stems(connection, job_id, paths, stem_files, on_progress)
        if beside:
            link_latest(first, folder)
    base = fetch_base_stems(
        connection, job, folder, overwrite=overwrite, stem_files=stem_files, on_progress=on_progress
    )
    return FetchedFiles(_by_source(paths), folder / REPORT_JSON, page, base)


def fetch_base_stems(
    connection: Connection,
    job: Job,
    out_dir: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    stem_files: StemFiles = PLAIN,
    on_progress: OnFetchProgress | None = None,
) -> dict[str, Path]:
    """Write the stems of the model as it is into the folder `base` in `out_dir`; return them by source.

    There are none where the job gives none, or has just ended and dropped them.

    Raises:
        OutputExistsError, OutputError, IntegrityError: as `fetch_results`.
    """
    folder = Path(out_dir) / BASE_FOLDER
    if not job.base_stems:
        return {}
    paths = _paths(replace(job, stems=job.base_stems), folder, stem_files, overwrite=overwrite)
    with _write_errors_explained(folder, job.job_id):
        folder.mkdir(parents=True, exist_ok=True)
        remove_replaced(folder, job.job_id, stem_files, [path.name for path in paths.values()])
        # By this a later fetch knows the files as ours; it has the fields of a report that say their names.
        note = {
            "job_id": job.job_id,
            "take": BASE_FOLDER,
            "file_name": job.file_name,
            "stem_encoding": job.base_stems[0].encoding.value,
            "stems": [{"source": stem.source} for stem in job.base_stems],
        }
        (folder / REPORT_JSON).write_text(json.dumps(note) + "\n", encoding="utf-8")
        try:
            _fetch_stems(connection, job.job_id, paths, stem_files, on_progress)
        except NotFoundError:
            for stem, path in paths.items():
                _partial(path, stem).unlink(missing_ok=True)
            return {}
    return _by_source(paths)


def _paths(job: Job, folder: Path, stem_files: StemFiles, *, overwrite: bool) -> dict[Stem, Path]:
    """Return the path of each stem in a folder that may be written to."""
    names = stem_file_names(job, stem_files)
    require_folder(folder)
    if not overwrite:
        refuse_foreign_files(folder, names)
    return {stem: folder / name for stem, name in zip(job.stems, names, strict=True)}


def _by_source(paths: Mapping[Stem, Path]) -> dict[str, Path]:
    return {stem.source: path for stem, path in paths.items()}


@contextmanager
def _write_errors_explained(folder: Path, job_id: str) -> Iterator[None]:
    """Raise OutputError where the folder cannot be written."""
    try:
        yield
    except BrokenPipeError:  # of `on_progress`, whose reader has gone
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {reason_of(error)}. The results stay at the server: make room,"
            f" or name another folder, then `ugosa fetch {job_id} -o DIR`"
        ) from error


def _fetch_stems(
    connection: Connection,
    job_id: str,
    paths: Mapping[Stem, Path],
    stem_files: StemFiles,
    on_progress: OnFetchProgress | None,
) -> None:
    for stem, path in paths.items():
        if stem_files.lossy is None:
            _fetch_stem(connection, job_id, stem, path, on_progress)
        else:
            check_lossy_rate(stem_files.lossy, stem.sample_rate_hz)
            whole = path.with_name(path.name + stem.encoding.suffix)
            _fetch_stem(connection, job_id, stem, whole, on_progress, path.name)
            encode_lossy(whole, path)
            whole.unlink()


def stem_file_names(job: Job, files: StemFiles = PLAIN) -> list[str]:
    """Return a safe and unique file name for each stem of a job."""
    suffix = job.stems[0].encoding.suffix if job.stems else ""
    return files.names(job.file_name, [stem.source for stem in job.stems], suffix)


def existing_place(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def require_folder(folder: Path) -> None:
    """Raise if the output directory is no folder, or cannot be written."""
    existing = existing_place(folder)
    if not existing.is_dir():
        raise OutputExistsError(f"{existing} is a file; name a folder for the results")
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=".ugosa-"):  # what the rights say is not all
            pass
    except OSError as error:
        raise OutputError(
            f"nothing can be written in {existing} ({reason_of(error)}); name another folder for the results"
        ) from error


def require_room(folder: Path, needed_bytes: int) -> None:
    """Raise if so many bytes of stems do not fit where the output directory is or will be."""
    place = existing_place(folder)
    free = shutil.disk_usage(place).free
    held = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())  # by an earlier fetch
    if needed_bytes > free + held:
        raise OutputError(
            f"the stems take up to {needed_bytes / 1e6:.0f} MB, but {place} has {free / 1e6:.0f} MB free;"
            " make room, name another folder, or take --format flac-pcm24 or fewer --stems"
        )


def refuse_foreign_files(folder: Path, names: Iterable[str]) -> None:
    """Raise if a fetch would replace a file that no earlier fetch has written.

    A folder is one of ours when it holds a `report.json` that speaks of stems.
    """
    foreign = [folder / name for name in (*names, REPORT_JSON, REPORT_HTML) if (folder / name).exists()]
    if foreign and job_of_folder(folder) is None:
        raise OutputExistsError(
            f"{', '.join(str(path) for path in foreign)} would be replaced, but {folder} is not a folder of "
            "earlier results; choose another output directory or pass --overwrite"
        )


def _is_stem(path: Path, stem: Stem) -> bool:
    if not path.is_file() or path.stat().st_size != stem.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == stem.sha256


def _fetch_stem(
    connection: Connection,
    job_id: str,
    stem: Stem,
    path: Path,
    on_progress: OnFetchProgress | None,
    shown_name: str = "",
) -> None:
    name = f"{BASE_FOLDER}/{shown_name or path.name}" if stem.is_base else shown_name or path.name
    if _is_stem(path, stem):
        if on_progress is not None:
            on_progress(name, stem.size_bytes, stem.size_bytes)
        return
    partial = _partial(path, stem)
    partial.touch()
    with partial.open("r+b") as file:  # another fetch into this folder writes the same to the same places
        if file.seek(0, os.SEEK_END) > stem.size_bytes:
            file.truncate(0)
        file.seek(0)
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        for data in read_stem(connection, job_id, stem, file.tell(), name=name):
            file.write(data)
            digest.update(data)
            if on_progress is not None:
                on_progress(name, file.tell(), stem.size_bytes)
        _sync(file)
    try:
        finish_file(partial, path, digest.hexdigest(), stem.sha256)
    except FileNotFoundError:  # the other one has put it in its place
        if not _is_stem(path, stem):
            raise


def _partial(path: Path, stem: Stem) -> Path:
    """Return the place of a stem on its way: its digest is there so that no other job's file is resumed."""
    return path.with_name(f"{path.name}.{stem.sha256[:16]}.tmp")


def read_stem(
    connection: Connection, job_id: str, stem: Stem, start: int = 0, end: int | None = None, *, name: str = ""
) -> Iterator[bytes]:
    """Yield a stem's file from byte `start` to `end` (None = its end), resumed after any break."""
    end = stem.size_bytes if end is None else min(end, stem.size_bytes)

    def read(offset: int) -> Stream:
        request = job_service_pb2.ReadStemRequest(
            job_id=job_id,
            source=stem.source,
            offset=offset,
            length=end - offset,
            take=job_service_pb2.STEM_TAKE_BASE if stem.is_base else job_service_pb2.STEM_TAKE_FINAL,
        )
        return connection.stream(connection.jobs.ReadStem, request)

    return _resumed(connection, read, start, end, name or stem.source)


def read_preview(connection: Connection, job_id: str, source: str, step: int = 0) -> bytes:
    """Return one source of a preview of a job that learns, as a FLAC file.

    Args:
        connection: to the server.
        job_id: the job.
        source: one of `PreviewReady.sources`.
        step: its `step`, so that all its sources are of the same weights; 0 = the newest preview.

    Raises:
        NotFoundError: there is none at this time, or not any more: two newer ones have come.
    """
    request = job_service_pb2.ReadStemRequest(
        job_id=job_id, source=source, take=job_service_pb2.STEM_TAKE_PREVIEW, preview_step=step
    )
    return _read_whole(connection, connection.jobs.ReadStem, request, f"the preview of {source}")


def fetch_adapter(
    connection: Connection,
    job_id: str,
    path: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the adapter of a job to a file, by default `SONG.ugosa` here, and return its path.

    Raises:
        NotFoundError: the job has none.
        OutputExistsError: another file is there.
        OutputError: the file cannot be written.
        IntegrityError: it does not have the sha256 that the server says.
    """
    job = get_job(connection, job_id)
    adapter = job.adapter
    if adapter is None:
        raise NotFoundError(
            f"job {job_id} ({job.state}) has no adapter: it learned nothing, or kept the model as it is"
        )
    target = Path(path or safe_file_name(Path(job.file_name).stem) + ADAPTER_SUFFIX)
    if target.exists() and not overwrite:
        raise OutputExistsError(f"{target} exists; name another file with -o, or pass --overwrite")

    def read(offset: int) -> Stream:
        request = job_service_pb2.ReadAdapterRequest(job_id=job_id, offset=offset)
        return connection.stream(connection.jobs.ReadAdapter, request)

    partial = target.with_name(f"{target.name}.tmp")
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as file:
            for data in _resumed(connection, read, 0, adapter.size_bytes, target.name):
                file.write(data)
                digest.update(data)
            _sync(file)
        finish_file(partial, target, digest.hexdigest(), adapter.sha256)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {reason_of(error)}") from error
    return target


def _resumed(
    connection: Connection, read: Callable[[int], Stream], start: int, end: int, name: str
) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` to `end`, asking for the rest after any break."""
    backoff = connection.backoff()
    offset = start
    while offset < end:
        try:
            with read(offset) as responses:
                for response in responses:
                    data = checked_data(response.chunk, offset, name)
                    offset += len(data)
                    backoff.made_progress()
                    yield data
            if offset != end:
                raise ServerError(f"the server ended {name} after {offset} of {end} bytes")
        except ServerUnavailableError as error:
            connection.wait_or_raise(backoff, error)


def finish_file(partial: Path, path: Path, sha256: str, expected_sha256: str) -> None:
    """Move a whole file into place, or remove it if its checksum is wrong."""
    if sha256 != expected_sha256:
        partial.unlink()
        raise IntegrityError(
            f"{path.name} arrived with sha256 {sha256}, but the server expects {expected_sha256}; "
            "it was not kept, fetch it again"
        )
    os.replace(partial, path)


def fetch_report(
    connection: Connection, job_id: str, report_format: job_service_pb2.ReportFormat, path: Path
) -> None:
    """Write a report of a job, whole or not at all."""
    partial = path.with_name(path.name + ".tmp")
    with partial.open("wb") as file:
        file.write(_report(connection, job_id, report_format, path.name))
        _sync(file)
    os.replace(partial, path)


def read_report(connection: Connection, job_id: str) -> dict[str, Any]:
    """Return the report of a job that succeeded, as it is in `report.json`."""
    data = _report(connection, job_id, job_service_pb2.REPORT_FORMAT_JSON, REPORT_JSON)
    report: dict[str, Any] = json.loads(data)
    return report


def _report(
    connection: Connection, job_id: str, report_format: job_service_pb2.ReportFormat, name: str
) -> bytes:
    request = job_service_pb2.ReadReportRequest(job_id=job_id, format=report_format)
    return _read_whole(connection, connection.jobs.ReadReport, request, name)


def _read_whole(connection: Connection, method: Callable[..., Any], request: Any, name: str) -> bytes:
    """Return the bytes of a small file, read anew after any break."""
    backoff = connection.backoff()
    while True:
        data = bytearray()
        try:
            with connection.stream(method, request) as responses:
                for response in responses:
                    data += checked_data(response.chunk, len(data), name)
            return bytes(data)
        except ServerUnavailableError as error:
            connection.wait_or_raise(backoff, error)


def checked_data(chunk: audio_pb2.Chunk, offset: int, name: str) -> bytes:
    """Return a chunk's bytes after checking that they are the next ones, unharmed."""
    if chunk.offset != offset:
        raise IntegrityError(f"{name}: the server sent bytes from {chunk.offset} where {offset} comes next")
    if google_crc32c.value(chunk.data) != chunk.crc32c:
        raise IntegrityError(f"{name}: the bytes from {offset} do not have the checksum that came with them")
    return chunk.data


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
