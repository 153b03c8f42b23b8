"""`UgosaClient`, the library's façade: one method for each task of a script."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import grpc

from ugosa_client import advice, fetch, job_arrays, jobs, separate, separate_stream, takes, uploads
from ugosa_client.address import default_target
from ugosa_client.connection import Connection, RetryPolicy
from ugosa_client.events import JobEvent
from ugosa_client.identity import Identity
from ugosa_client.resources import MODEL_DEFAULTS, JobOptions, Mark, Upload
from ugosa_client.separate import Separation, SeparationRequest
from ugosa_client.separate_stream import StreamItem
from ugosa_client.song import SongSource, open_song
from ugosa_client.stem_files import PLAIN, StemFiles
from ugosa_client.uploads import OnUploadProgress

NOBODY = Identity()
DEFAULT_RETRY = RetryPolicy()

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _method(
    call: Callable[Concatenate[Connection, Arguments], Result],
) -> Callable[Concatenate[UgosaClient, Arguments], Result]:
    """Return a call over a connection as a method of the client that has it."""

    @wraps(call)
    def method(client: UgosaClient, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return call(client._connection, *args, **kwargs)

    return method


class UgosaClient:
    """A client of one server; usable from several threads at once, and a context manager.

    Every method raises a `UgosaClientError`; calls that can go on after a break do so by themselves. Those
    that are listed first are described where they are defined.
    """

    list_uploads = _method(uploads.list_uploads)
    delete_upload = _method(uploads.delete_upload)
    usage = _method(uploads.get_usage)

    submit = _method(separate.submit)
    create_job = _method(jobs.create_job)
    get_job = _method(jobs.get_job)
    list_jobs = _method(jobs.list_jobs)
    set_marks = _method(jobs.set_marks)
    star = _method(jobs.star_job)
    watch = _method(jobs.watch_job)
    accept = _method(jobs.accept_job)
    cancel = _method(jobs.cancel_job)
    delete = _method(jobs.delete_job)
    finish = _method(separate.finish)
    models = _method(jobs.list_models)

    create_array = _method(job_arrays.create_job_array)
    get_array = _method(job_arrays.get_job_array)
    watch_array = _method(job_arrays.watch_job_array)
    cancel_array = _method(job_arrays.cancel_job_array)

    analyse = _method(advice.analyse)
    lint_marks = _method(advice.lint_marks)
    suggest_marks = _method(advice.suggest_marks)

    read_report = _method(fetch.read_report)
    read_stem = _method(fetch.read_stem)
    read_preview = _method(fetch.read_preview)
    fetch_adapter = _method(fetch.fetch_adapter)
    fetch_page = _method(takes.fetch_page)
    fetch = _method(fetch.fetch_results)

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

    def __exit__(self, *_: object) -> None:
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
        return uploads.upload_song(self._connection, opened, request_id=request_id, on_progress=on_progress)

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
