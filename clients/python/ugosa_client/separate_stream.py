"""The one-call RPC: header, audio and marks up; events and stems down, on one stream."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ugosa_client.connection import Connection
from ugosa_client.convert import from_marks, from_options, to_event, to_job
from ugosa_client.errors import (
    BadAudioError,
    OutputError,
    ServerError,
    ServerUnavailableError,
    UgosaClientError,
    reason_of,
)
from ugosa_client.events import JobEvent
from ugosa_client.fetch import checked_data, finish_file, refuse_foreign_files, stem_file_names
from ugosa_client.jobs import list_models
from ugosa_client.resources import Job, JobOptions, Mark
from ugosa_client.separate import check_out_dir, find_model
from ugosa_client.song import Song
from ugosa_client.stem_files import safe_file_name
from ugosa_client.uploads import song_chunks
from ugosa_client.wire.ugosa.v1 import separation_service_pb2


@dataclass(frozen=True)
class Received:
    """Part of the song that is durable on the server."""

    committed_size: int
    """Bytes."""


@dataclass(frozen=True)
class Accepted:
    """The job is made; it can also be watched, fetched and cancelled by its id."""

    job: Job
    """The job as it was made."""


@dataclass(frozen=True)
class StemReceived:
    """A stem lies in the output directory, whole."""

    source: str
    path: Path


@dataclass(frozen=True)
class Done:
    """The last item: the job as it ended."""

    job: Job
    """Look at its state: SUCCEEDED, FAILED or CANCELLED."""


StreamItem = Received | Accepted | JobEvent | StemReceived | Done


def separate_stream(
    connection: Connection,
    song: Song,
    out_dir: str | os.PathLike[str],
    *,
    marks: Sequence[Mark],
    options: JobOptions,
    overwrite: bool = False,
) -> Iterator[StreamItem]:
    """Separate a song over one stream and yield its events; stems are written as they arrive.

    Unlike the other calls it does not go on by itself after a break: when it breaks after Accepted, the job
    goes on and the error names it.
    """
    model = find_model(list_models(connection), options.model)
    check_out_dir(song, out_dir, model.sources, overwrite)
    job: Job | None = None
    stems: _PartialStems | None = None
    reading_errors: list[Exception] = []

    def requests() -> Iterator[separation_service_pb2.SeparateRequest]:
        header = separation_service_pb2.SeparateHeader(
            request_id=str(uuid.uuid4()), format=song.format(), options=from_options(options)
        )
        yield separation_service_pb2.SeparateRequest(header=header)
        yield separation_service_pb2.SeparateRequest(marks=from_marks(marks))
        try:
            for chunk in song_chunks(song, 0):
                yield separation_service_pb2.SeparateRequest(chunk=chunk)
        except (OSError, BadAudioError) as error:
            reading_errors.append(error)
            raise  # ends the call; returning would half-close it and start a job on half a song

    try:
        with connection.stream(connection.separation.Separate, requests()) as responses:
            for response in responses:
                match response.WhichOneof("part"):
                    case "received":
                        yield Received(response.received.committed_size)
                    case "accepted":
                        job = to_job(response.accepted.job)
                        yield Accepted(job)
                    case "event":
                        yield to_event(response.event)
                    case "stem":
                        stems = stems or _PartialStems(Path(out_dir), overwrite)
                        stems.write(response.stem)
                    case "done":
                        job = to_job(response.done.job)
                        if stems is not None:
                            yield from stems.finish(job)
                        yield Done(job)
                        return
        raise ServerError("the server ended the stream before it was done")
    except OSError as error:
        fetch = f"; name another folder, then `ugosa fetch {job.job_id} -o DIR`" if job else ""
        raise OutputError(f"cannot write to {os.fspath(out_dir)}: {reason_of(error)}{fetch}") from error
    except UgosaClientError as error:
        if reading_errors:
            raise reading_errors[0] from error
        if not isinstance(error, ServerUnavailableError) or job is None:
            raise
        raise ServerUnavailableError(
            f"the stream broke, but job {job.job_id} goes on; "
            f"fetch it with `ugosa fetch {job.job_id} -o DIR` ({error})"
        ) from error
    finally:
        if stems is not None:
            stems.discard()


class _PartialStems:
    """Partial files of stems, which get their names once the job gives their digests."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._overwrite = overwrite
        self._partials: dict[str, Path] = {}
        self._digests: dict[str, hashlib._Hash] = {}
        self._open: tuple[str, BinaryIO] | None = None

    def write(self, message: separation_service_pb2.SeparateStemChunk) -> None:
        """Append a chunk to its stem."""
        source = message.source
        if self._open is None or self._open[0] != source:
            self._close()
            partial = self._folder / f"{safe_file_name(source)}.{uuid.uuid4().hex[:8]}.tmp"
            self._partials[source] = partial
            self._digests[source] = hashlib.sha256()
            self._open = (source, partial.open("wb"))
        file = self._open[1]
        data = checked_data(message.chunk, file.tell(), source)
        file.write(data)
        self._digests[source].update(data)

    def finish(self, job: Job) -> Iterator[StemReceived]:
        """Check every stem against the finished job and move it into place."""
        self._close()
        paths = {
            stem: self._folder / name for stem, name in zip(job.stems, stem_file_names(job), strict=True)
        }
        if not self._overwrite:
            refuse_foreign_files(self._folder, [path.name for path in paths.values()])
        for stem, path in paths.items():
            if stem.source not in self._partials:
                raise ServerError(f"the server did not send the stem {stem.source}")
            finish_file(
                self._partials[stem.source], path, self._digests[stem.source].hexdigest(), stem.sha256
            )
            yield StemReceived(stem.source, path)

    def discard(self) -> None:
        """Remove partial files."""
        self._close()
        for partial in self._partials.values():
            partial.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._open is not None:
            file = self._open[1]
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._open = None
