"""Routes of a job's stems: each by range, for the player and drawn, and all in one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ugosa_client.client import UgosaClient
from ugosa_client.errors import NotFoundError
from ugosa_client.fetch import stem_file_names
from ugosa_client.resources import Job, JobState, StemEncoding
from ugosa_client.stem_files import safe_file_name
from ugosa_client.web.byte_ranges import attachment, range_response, zip_parts
from ugosa_client.web.reaper_folder import format_stems_project
from ugosa_client.web.songs import Songs


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
            Route(job + "/reaper.zip", self._reaper_zip),
            Route(stem, self._stem),
            Route(stem + "/wav", self._stem_wav),
            Route(stem + "/peaks", self._stem_peaks),
        ]

    def _stem(self, request: Request) -> Response:
        job_id, source = request.path_params["job"], request.path_params["source"]
        stem = self._songs.stem(job_id, source)
        name = dict(zip(self._songs.job(job_id).stems, self._stem_names(job_id), strict=True))[stem]
        return range_response(
            request,
            lambda start, end: self._client.read_stem(job_id, stem, start, end),
            stem.size_bytes,
            "audio/flac" if name.endswith(".flac") else "audio/wav",
            etag=stem.sha256,
            file_name=name,
        )

    def _stem_wav(self, request: Request) -> Response:
        """Send a stem for the player, which reads WAV alone: a FLAC stem is decoded on the way."""
        job_id, source = request.path_params["job"], request.path_params["source"]
        stem = self._songs.stem(job_id, source)
        if stem.encoding is not StemEncoding.FLAC_PCM24:
            return self._stem(request)
        wav = self._songs.stem_wav(job_id, source)
        return range_response(request, wav.read, wav.size_bytes, "audio/wav", etag=stem.sha256)

    def _stem_peaks(self, request: Request) -> Response:
        peaks = self._songs.stem_peaks(request.path_params["job"], request.path_params["source"])
        return Response(
            peaks, media_type="application/octet-stream", headers={"cache-control": "private, max-age=86400"}
        )

    def _zip(self, request: Request) -> Response:
        job = self._succeeded(request)
        return _zip_response(f"{_song_name(job)} stems.zip", self._stem_parts(job))

    def _reaper_zip(self, request: Request) -> Response:
        """Send the stems in a folder with a REAPER project of them."""
        job = self._succeeded(request)
        folder = f"{_song_name(job)} stems"
        project = format_stems_project(job, self._stem_names(job.job_id))
        files = [(f"{folder}/{name}", parts) for name, parts in self._stem_parts(job)]
        files.append((f"{folder}/{_song_name(job)}.rpp", iter([project])))
        return _zip_response(f"{folder} for REAPER.zip", files)

    def _succeeded(self, request: Request) -> Job:
        job = self._songs.job(request.path_params["job"])
        if job.state is not JobState.SUCCEEDED:
            raise NotFoundError(f"job {job.job_id} is {job.state}, and only a job that succeeded has stems")
        return job

    def _stem_parts(self, job: Job) -> Iterable[tuple[str, Iterator[bytes]]]:
        names = self._stem_names(job.job_id)
        return (
            (name, self._client.read_stem(job.job_id, s)) for name, s in zip(names, job.stems, strict=True)
        )

    def _stem_names(self, job_id: str) -> list[str]:
        """Return the names of stems as files, with the song's: tracks of a DAW can be told apart."""
        job = self._songs.job(job_id)
        return [f"{_song_name(job)} {name}" for name in stem_file_names(job)]


def _song_name(job: Job) -> str:
    return safe_file_name(Path(job.file_name).stem) if job.file_name else "song"


def _zip_response(name: str, files: Iterable[tuple[str, Iterator[bytes]]]) -> Response:
    return StreamingResponse(
        zip_parts(files), media_type="application/zip", headers={"content-disposition": attachment(name)}
    )
