"""Routes of a job's stems: each by range, for the player and drawn, and all in one file.

With `take=base` they are those of the model as it is, under the marks; with `take=preview`, for the player
alone, a stretch as the job has learned so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ugosa_client.client import UgosaClient
from ugosa_client.errors import NotFoundError
from ugosa_client.fetch import stem_file_names
from ugosa_client.resources import Job, Stem, StemEncoding
from ugosa_client.stem_files import safe_file_name
from ugosa_client.web.byte_ranges import attachment, range_response, zip_parts
from ugosa_client.web.json_forms import number_of
from ugosa_client.web.songs import Songs
from ugosa_client.web.stem_projects import PROJECTS


class StemRoutes:
    """Stems of all jobs, over one client."""

    def __init__(self, client: UgosaClient, songs: Songs) -> None:
        self._client = client
        self._songs = songs

    def routes(self, job: str) -> list[Route]:
        """Return the routes below that of a job."""
        stem = job + "/stems/{source}"
        return [
            Route(job + "/stems.zip", self._zip),
            Route(job + "/projects/{daw}", self._project),
            Route(stem, self._stem),
            Route(stem + "/wav", self._stem_wav),
            Route(stem + "/peaks", self._stem_peaks),
        ]

    def _stem(self, request: Request) -> Response:
        job, stem = self._asked(request)
        return range_response(
            request,
            lambda start, end: self._client.read_stem(job.job_id, stem, start, end),
            stem.size_bytes,
            "audio/flac" if stem.encoding is StemEncoding.FLAC_PCM24 else "audio/wav",
            etag=stem.sha256,
            file_name=dict(zip(job.stems, _file_names(job), strict=True))[stem],
        )

    def _stem_wav(self, request: Request) -> Response:
        """Send a stem for the player, which reads WAV alone: FLAC is decoded on the way."""
        if request.query_params.get("take") == "preview":
            return self._preview_wav(request)
        job, stem = self._asked(request)
        if stem.encoding is not StemEncoding.FLAC_PCM24:
            return self._stem(request)
        wav = self._songs.stem_wav(job.job_id, stem)
        return range_response(request, wav.read, wav.size_bytes, "audio/wav", etag=stem.sha256)

    def _preview_wav(self, request: Request) -> Response:
        step = number_of(request.query_params.get("step", ""), "step")
        wav = self._songs.preview_wav(request.path_params["job"], request.path_params["source"], step)
        return range_response(request, wav.read, wav.size_bytes, "audio/wav")

    def _stem_peaks(self, request: Request) -> Response:
        job, stem = self._asked(request)
        return Response(
            self._songs.stem_peaks(job.job_id, stem),
            media_type="application/octet-stream",
            headers={"cache-control": "private, max-age=86400"},
        )

    def _zip(self, request: Request) -> Response:
        job = self._job(request)
        return _zip_response(f"{_song_name(job)} stems.zip", self._parts(job))

    def _project(self, request: Request) -> Response:
        """Send the stems with what a DAW opens."""
        job, daw = self._job(request), request.path_params["daw"]
        if daw not in PROJECTS:
            raise NotFoundError(f"no project is made for {daw!r}; one is for {', '.join(PROJECTS)}")
        project = PROJECTS[daw](job, _song_name(job), _file_names(job))
        stems = ((f"{project.folder}/{name}", parts) for name, parts in self._parts(job))
        files = ((name, iter([data])) for name, data in project.files.items())
        return _zip_response(project.file_name, chain(files, stems))

    def _job(self, request: Request) -> Job:
        """Return the job with the stems that are asked for."""
        job_id = request.path_params["job"]
        stems = self._songs.stems(job_id, request.query_params.get("take") == "base")
        return replace(self._songs.job(job_id), stems=stems)

    def _asked(self, request: Request) -> tuple[Job, Stem]:
        job = self._job(request)
        return job, self._songs.stem(job.job_id, request.path_params["source"], job.stems[0].is_base)

    def _parts(self, job: Job) -> Iterable[tuple[str, Iterator[bytes]]]:
        return (
            (name, self._client.read_stem(job.job_id, stem))
            for name, stem in zip(_file_names(job), job.stems, strict=True)
        )


def _file_names(job: Job) -> list[str]:
    """Return the names of stems as files, with the song's: tracks of a DAW can be told apart."""
    return [f"{_song_name(job)} {name}" for name in stem_file_names(job)]


def _song_name(job: Job) -> str:
    return safe_file_name(Path(job.file_name).stem) if job.file_name else "song"


def _zip_response(name: str, files: Iterable[tuple[str, Iterator[bytes]]]) -> Response:
    return StreamingResponse(
        zip_parts(files), media_type="application/zip", headers={"content-disposition": attachment(name)}
    )
