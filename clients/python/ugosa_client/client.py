"""`UgosaClient`, the library's façade: one method for each task of a script."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from ugosa_client import advice, job_arrays, jobs, separate, separate_stream, takes
from ugosa_client.address import default_target
from ugosa_client.advice import Lint, Suggestion
from ugosa_client.connection import Connection
from ugosa_client.events import JobEvent
from ugosa_client.fetch import (
    FetchedFiles,
    OnFetchProgress,
    fetch_adapter,
    fetch_results,
    read_preview,
    read_report,
    read_stem,
)
from ugosa_client.identity import Identity
from ugosa_client.job_arrays import ArrayEvent, ArrayItem, JobArray
from ugosa_client.resources import MODEL_DEFAULTS, Job, JobOptions, JobState, Mark, Model, Stem, Upload, Usage
from ugosa_client.retry import RetryPolicy
from ugosa_client.separate import Separation, SeparationRequest
from ugosa_client.separate_stream import StreamItem
from ugosa_client.song import SongSource, open_song
from ugosa_client.stem_files import PLAIN, StemFiles
from ugosa_client.uploads import OnUploadProgress, delete_upload, get_usage, list_uploads, upload_song

NOBODY = Identity()
DEFAULT_RETRY = RetryPolicy()


class UgosaClient:
    """A client of one server; usable from several threads at once, and a context manager.

    Every method raises a `UgosaClientError`; calls that can go on after a break do so by themselves.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout_s: float = 60.0,
        retry: RetryPolicy = DEFAULT_RETRY,
        identity: Identity = NOBODY,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Prepare a connection; it is made with the first call.

        Args:
            target: "unix:/path/to/ugosa.sock" or "host:port"; None = `default_target()`.
            timeout_s: How long a call without a stream may take, in seconds.
            retry: How patiently broken calls are taken up again.
            identity: Token and certificates for a server on another machine, always spoken to by TLS.
            credentials: gRPC's own, in place of those that `identity` gives; None = those.
        """
        self.target = target or default_target()
        self._connection = Connection(
            self.target, retry=retry, timeout_s=timeout_s, identity=identity, credentials=credentials
        )

    def __enter__(self) -> UgosaClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls. Jobs belong to the server and go on."""
        self._connection.close()

    def upload(
        self,
        song: SongSource,
        *,
        sample_rate_hz: int | None = None,
        request_id: str | None = None,
        on_progress: OnUploadProgress | None = None,
    ) -> Upload:
        """Send a song and return its complete upload.

        The song is the path of a file, or an array of `[T]` or `[T, C]` with its rate. Sending goes on from
        the durable bytes after any break, also that of an earlier process with the same song.
        """
        opened = open_song(song, sample_rate_hz)
        return upload_song(self._connection, opened, request_id=request_id, on_progress=on_progress)

    def list_uploads(self, *, page_size: int = 100) -> Iterator[Upload]:
        """Yield all songs and videos that this client's principal has at the server, newest first."""
        return list_uploads(self._connection, page_size)

    def delete_upload(self, upload_id: str) -> None:
        """Delete a song or a video; WrongStateError while a job that has not ended needs it."""
        delete_upload(self._connection, upload_id)

    def usage(self) -> Usage:
        """Return how much this client's principal stores at the server, and may store."""
        return get_usage(self._connection)

    def create_job(
        self,
        upload_id: str,
        *,
        marks: Iterable[Mark] = (),
        options: JobOptions = MODEL_DEFAULTS,
        request_id: str | None = None,
        reuse: bool = False,
    ) -> Job:
        """Make a job of a complete upload; the same request_id and request return the same job.

        With `reuse`, so does a job that succeeded with the same song, model, options and marks.
        """
        return jobs.create_job(
            self._connection, upload_id, marks=marks, options=options, request_id=request_id, reuse=reuse
        )

    def submit(
        self,
        request: SeparationRequest,
        *,
        out_dir: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        stem_files: StemFiles = PLAIN,
        on_upload: OnUploadProgress | None = None,
    ) -> Job:
        """Upload a song and make its job.

        A REAPER project is taken as the song that it has as its one audio item, with its regions as marks.
        With `out_dir`, a directory in which stems would replace files of the user is refused before any work.
        """
        return separate.submit(
            self._connection,
            request,
            out_dir=out_dir,
            overwrite=overwrite,
            stem_files=stem_files,
            on_upload=on_upload,
        )

    def get_job(self, job_id: str) -> Job:
        """Return a job as it stands."""
        return jobs.get_job(self._connection, job_id)

    def list_jobs(
        self, states: Iterable[JobState] = (), *, song_sha256: str = "", page_size: int = 100
    ) -> Iterator[Job]:
        """Yield all jobs in one of `states` (empty = any), newest first; of one song if that is given."""
        return jobs.list_jobs(self._connection, states, page_size, song_sha256)

    def star(self, job_id: str, *, starred: bool = True) -> Job:
        """Keep a job with its stems for ever, or no longer."""
        return jobs.star_job(self._connection, job_id, starred=starred)

    def read_report(self, job_id: str) -> dict[str, Any]:
        """Return the report of a job that succeeded, as it is in `report.json`."""
        return read_report(self._connection, job_id)

    def set_marks(self, job_id: str, marks: Iterable[Mark]) -> Job:
        """Replace all marks of a job that is still queued."""
        return jobs.set_marks(self._connection, job_id, marks)

    def watch(self, job_id: str, after_seq: int = 0) -> Iterator[JobEvent]:
        """Yield the job's events with seq > after_seq, each once and in order, up to its end."""
        return jobs.watch_job(self._connection, job_id, after_seq)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to end and return its state; no error if it has ended."""
        return jobs.cancel_job(self._connection, job_id)

    def accept(self, job_id: str) -> Job:
        """Ask a job to learn no more and go on to its stems; no error if it does not learn or has ended."""
        return jobs.accept_job(self._connection, job_id)

    def delete(self, job_id: str) -> None:
        """Delete an ended job with its stems and events."""
        jobs.delete_job(self._connection, job_id)

    def create_array(
        self,
        items: Iterable[ArrayItem],
        *,
        options: JobOptions = MODEL_DEFAULTS,
        request_id: str | None = None,
    ) -> JobArray:
        """Make a job for each of up to 1000 songs, all or none; request_id as in `create_job`."""
        return job_arrays.create_job_array(self._connection, items, options=options, request_id=request_id)

    def get_array(self, array_id: str) -> JobArray:
        """Return a job array as it stands."""
        return job_arrays.get_job_array(self._connection, array_id)

    def watch_array(self, array_id: str, after_seq: int = 0) -> Iterator[ArrayEvent]:
        """Yield the events of all jobs with array_seq > after_seq, each once and in order."""
        return job_arrays.watch_job_array(self._connection, array_id, after_seq)

    def cancel_array(self, array_id: str) -> JobArray:
        """Ask all jobs of an array to end."""
        return job_arrays.cancel_job_array(self._connection, array_id)

    def models(self) -> tuple[Model, ...]:
        """Return the models that jobs can name."""
        return jobs.list_models(self._connection)

    def analyse(self, upload_id: str, *, model: str | None = None, request_id: str | None = None) -> Job:
        """Return the job in which a model analyses a song, for `lint_marks` and `suggest_marks`.

        Watch the job to its end. If the model has analysed the song before, in whatever kind of job, that
        job is returned.
        """
        return advice.analyse(self._connection, upload_id, model, request_id)

    def lint_marks(self, upload_id: str, marks: Iterable[Mark], *, model: str | None = None) -> Lint:
        """Return findings about marks; no error however bad they are."""
        return advice.lint_marks(self._connection, upload_id, marks, model)

    def suggest_marks(self, upload_id: str, *, model: str | None = None) -> tuple[Suggestion, ...]:
        """Return the marks that a model suggests for a song that it has analysed (`analyse`)."""
        return advice.suggest_marks(self._connection, upload_id, model)

    def fetch(
        self,
        job_id: str,
        out_dir: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        beside: bool = False,
        stem_files: StemFiles = PLAIN,
        on_progress: OnFetchProgress | None = None,
    ) -> FetchedFiles:
        """Write the stems and reports of a job that succeeded into `out_dir`.

        With `beside`, results of another job stay as they are, and these come into `out_dir`-2, -3 ...
        """
        return fetch_results(
            self._connection,
            job_id,
            out_dir,
            overwrite=overwrite,
            beside=beside,
            stem_files=stem_files,
            on_progress=on_progress,
        )

    def fetch_adapter(
        self, job_id: str, path: str | os.PathLike[str] | None = None, *, overwrite: bool = False
    ) -> Path:
        """Write what a job has learned to a file, by default `SONG.ugosa` in this folder; return its path."""
        return fetch_adapter(self._connection, job_id, path, overwrite=overwrite)

    def fetch_page(
        self,
        job_id: str,
        folder: str | os.PathLike[str],
        *,
        all_takes: bool = False,
        stem_files: StemFiles = PLAIN,
        on_event: Callable[[JobEvent], None] | None = None,
        on_fetch: OnFetchProgress | None = None,
    ) -> Path:
        """Write the page of a job into the folder of its stems, with all takes beside it if wanted."""
        return takes.fetch_page(
            self._connection,
            job_id,
            folder,
            all_takes=all_takes,
            stem_files=stem_files,
            on_event=on_event,
            on_fetch=on_fetch,
        )

    def read_stem(self, job_id: str, stem: Stem, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield a stem's file from byte `start` to `end` (None = its end), resumed after any break."""
        return read_stem(self._connection, job_id, stem, start, end)

    def read_preview(self, job_id: str, source: str) -> bytes:
        """Return one source of the newest preview as a FLAC file; see `fetch.read_preview`."""
        return read_preview(self._connection, job_id, source)

    def finish(
        self,
        job: Job,
        out_dir: str | os.PathLike[str],
        *,
        after_seq: int = 0,
        overwrite: bool = False,
        beside: bool = False,
        stem_files: StemFiles = PLAIN,
        on_event: Callable[[JobEvent], None] | None = None,
        on_fetch: OnFetchProgress | None = None,
    ) -> Separation:
        """Watch a job to its end and fetch its results (`fetch`); JobFailedError, JobCancelledError."""
        return separate.finish(
            self._connection,
            job,
            out_dir,
            after_seq=after_seq,
            overwrite=overwrite,
            beside=beside,
            stem_files=stem_files,
            on_event=on_event,
            on_fetch=on_fetch,
        )

    def separate(
        self,
        request: SeparationRequest,
        out_dir: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        stem_files: StemFiles = PLAIN,
        on_event: Callable[[JobEvent], None] | None = None,
    ) -> Separation:
        """Separate a song into `out_dir`: upload, job, watch and fetch, resumed after any break."""
        job = self.submit(request, out_dir=out_dir, overwrite=overwrite, stem_files=stem_files)
        return self.finish(job, out_dir, overwrite=overwrite, stem_files=stem_files, on_event=on_event)

    def separate_stream(
        self,
        song: SongSource,
        out_dir: str | os.PathLike[str],
        *,
        marks: Sequence[Mark] = (),
        options: JobOptions = MODEL_DEFAULTS,
        sample_rate_hz: int | None = None,
        overwrite: bool = False,
    ) -> Iterator[StreamItem]:
        """Separate a song over the single stream of SeparationService and yield its events."""
        return separate_stream.separate_stream(
            self._connection,
            open_song(song, sample_rate_hz),
            out_dir,
            marks=marks,
            options=options,
            overwrite=overwrite,
        )
