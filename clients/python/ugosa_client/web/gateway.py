"""The gateway's routes: what the page asks, as calls of the client library."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ugosa_client.client import UgosaClient
from ugosa_client.errors import (
    BadInputError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ServerUnavailableError,
    UgosaClientError,
    WrongStateError,
    reason_of,
)
from ugosa_client.events import JobEvent, StateChanged
from ugosa_client.marks.file import read_marks
from ugosa_client.marks.formats import FORMATS, format_named
from ugosa_client.marks.regions import regions_of_marks
from ugosa_client.separate import find_model
from ugosa_client.stem_files import safe_file_name
from ugosa_client.web.byte_ranges import range_response
from ugosa_client.web.json_forms import (
    event_json,
    job_json,
    marks_json,
    marks_of,
    number_of,
    options_of,
    picked,
    song_json,
)
from ugosa_client.web.song_versions import song_versions, versions_json
from ugosa_client.web.songs import Songs
from ugosa_client.web.stem_routes import StemRoutes

STATIC = Path(__file__).with_name("static")
NONCE = "NONCE"  # stands for it in index.html
MAX_MARKS_FILE_BYTES = 64 << 20
RECONNECT_MS = 1000
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
WATCHES = 200  # threads that may wait for events of jobs; one per open page and job

SONG_GONE = "the server keeps this song no more: drop its file here again; its marks and versions stay"

STATUSES: tuple[tuple[type[UgosaClientError], int], ...] = (
    (BadInputError, 400),
    (PermissionDeniedError, 403),
    (NotFoundError, 404),
    (WrongStateError, 409),
    (ResourceExhaustedError, 507),
    (ServerUnavailableError, 503),
    (UgosaClientError, 502),
)
"""HTTP status of each kind of error, the first that fits."""


class Gateway:
    """Routes of one page, over one client."""

    def __init__(self, client: UgosaClient, songs: Songs, drop_dir: Path) -> None:
        """Serve songs; files that are dropped on the page are kept in `drop_dir` while the gateway runs."""
        self._client = client
        self._songs = songs
        self._drop_dir = drop_dir
        self._watches = anyio.CapacityLimiter(WATCHES)

    def app(self) -> Starlette:
        """Return the application, to which `Access` lets in one browser."""
        song, job = "/api/songs/{song}", "/api/jobs/{job}"
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/api/models", self._models),
                Route("/api/songs", self._all_songs, methods=["GET"]),
                Route("/api/songs", self._add_song, methods=["PUT"]),
                Route(song, self._song),
                Route(song + "/mix", self._mix),
                Route(song + "/peaks", self._mix_peaks),
                Route(song + "/notes", self._notes, methods=["GET", "PUT"]),
                Route(song + "/lint", self._lint, methods=["POST"]),
                Route(song + "/analysis", self._analyse, methods=["POST"]),
                Route(song + "/suggestions", self._suggest),
                Route(song + "/marks/read", self._read_marks, methods=["POST"]),
                Route(song + "/marks/write", self._write_marks, methods=["POST"]),
                Route("/api/jobs", self._create_job, methods=["POST"]),
                Route(job, self._job, methods=["GET"]),
                Route(job, self._cancel, methods=["DELETE"]),
                Route(job + "/accept", self._accept, methods=["POST"]),
                Route(job + "/star", self._star, methods=["PUT"]),
                Route(job + "/events", self._events),
                *StemRoutes(self._client, self._songs).routes(job),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            exception_handlers={UgosaClientError: _refusal, OSError: _disk_refusal},
        )

    async def _page(self, request: Request) -> Response:
        page = (STATIC / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(page.replace(NONCE, request.scope.get("nonce", "")))

    def _models(self, request: Request) -> Response:
        marks_formats = [
            {"name": f.name, "title": f.title, "suffix": f.suffixes[0]} for f in FORMATS if f.suffixes
        ]
        models = [
            picked(model, "name", "description", "sources", "is_default")
            | {"strategies": [strategy.name for strategy in model.strategies]}
            for model in self._client.models()
            if model.is_default or not model.is_of_ensembles
        ]
        return JSONResponse({"models": models, "marks_formats": marks_formats})

    def _all_songs(self, request: Request) -> Response:
        return JSONResponse([song_json(song) for song in self._songs.all()])

    async def _add_song(self, request: Request) -> Response:
        name = request.query_params.get("name", "song")
        folder = Path(await run_in_threadpool(tempfile.mkdtemp, dir=self._drop_dir))
        path = folder / safe_file_name(Path(name).name)
        try:
            async with await anyio.open_file(path, "wb") as file:
                async for part in request.stream():
                    await file.write(part)
            song = await run_in_threadpool(self._songs.add, path, name)
        except (UgosaClientError, ClientDisconnect, OSError) as error:
            path.unlink(missing_ok=True)
            if isinstance(error, BadInputError):  # of a file whose path here nobody knows
                raise BadInputError(error.message.replace(str(path), name), error.reason) from error
            raise
        return JSONResponse(song_json(song), 201)

    def _song(self, request: Request) -> Response:
        song = self._songs.song(request.path_params["song"])
        jobs = self._songs.jobs(song.upload_id)
        versions = versions_json(song_versions(jobs))
        return JSONResponse({**song_json(song), "jobs": list(map(job_json, jobs)), "versions": versions})

    def _mix(self, request: Request) -> Response:
        mix = self._songs.mix(request.path_params["song"])
        return range_response(request, mix.read, mix.size_bytes, "audio/wav")

    def _mix_peaks(self, request: Request) -> Response:
        peaks = self._songs.mix_peaks(request.path_params["song"])
        return Response(peaks, media_type="application/octet-stream")

    async def _notes(self, request: Request) -> Response:
        song = request.path_params["song"]
        if request.method == "GET":
            tag = await run_in_threadpool(self._songs.notes_tag, song)  # first: they may change meanwhile
            kept = await run_in_threadpool(self._songs.notes, song)
            return JSONResponse(kept, headers={"etag": f'"{tag}"'})
        notes, known = await _body(request), request.headers.get("if-match")
        instead_of = None if known is None else known.strip('"')
        tag = await run_in_threadpool(self._songs.write_notes, song, notes, instead_of)
        return Response(status_code=204, headers={"etag": f'"{tag}"'})

    async def _lint(self, request: Request) -> Response:
        body = await _body(request)
        marks, model = marks_of(body.get("marks")), _word(body, "model")
        lint = await run_in_threadpool(
            self._client.lint_marks, request.path_params["song"], marks, model=model
        )
        names = ("code", "severity", "message", "fix", "source", "start_frame", "end_frame")
        findings = [picked(finding, *names) for finding in lint.findings]
        return JSONResponse({"findings": findings, "analysed": lint.analysed})

    async def _analyse(self, request: Request) -> Response:
        body = await _body(request)
        job = await run_in_threadpool(
            self._client.analyse, request.path_params["song"], model=_word(body, "model")
        )
        return JSONResponse(job_json(job))

    def _suggest(self, request: Request) -> Response:
        model = request.query_params.get("model")
        suggestions = self._client.suggest_marks(request.path_params["song"], model=model)
        marks = marks_json(suggestion.mark for suggestion in suggestions)
        return JSONResponse(
            [{**mark, "confidence": s.confidence} for mark, s in zip(marks, suggestions, strict=True)]
        )

    async def _read_marks(self, request: Request) -> Response:
        data = await _bounded(request, MAX_MARKS_FILE_BYTES)

        def read() -> list[dict[str, Any]]:
            song = self._songs.song(request.path_params["song"])
            name = safe_file_name(Path(request.query_params.get("name", "marks.txt")).name)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / name
                path.write_bytes(data)
                model = find_model(self._client.models(), request.query_params.get("model") or None)
                try:
                    marks = read_marks(path, model.sources, song.audio.sample_rate_hz, song.audio.frames)
                except BadInputError as error:
                    raise BadInputError(error.message.replace(str(path), name)) from error
            return marks_json(marks)

        return JSONResponse(await run_in_threadpool(read))

    async def _write_marks(self, request: Request) -> Response:
        body = await _body(request)
        marks, name = marks_of(body.get("marks")), _word(body, "format") or "audacity"
        if name not in {known.name for known in FORMATS}:
            raise BadInputError(f"there is no format {name!r} of marks")

        def write() -> bytes:
            song = self._songs.song(request.path_params["song"])
            try:
                return format_named(name).write(regions_of_marks(marks), song.audio.sample_rate_hz, None)
            except ValueError as error:
                raise BadInputError(f"the format {name} cannot hold these marks: {error}") from error

        return Response(await run_in_threadpool(write), media_type="application/octet-stream")

    async def _create_job(self, request: Request) -> Response:
        body = await _body(request)
        marks, options = marks_of(body.get("marks", [])), options_of(body.get("options", {}))
        song, request_id = _word(body, "song") or "", _word(body, "request_id")
        job = await run_in_threadpool(
            lambda: self._client.create_job(
                song,
                marks=marks,
                options=options,
                request_id=request_id,
                reuse=body.get("reuse") is True,
            )
        )
        return JSONResponse(job_json(job), 201)

    def _job(self, request: Request) -> Response:
        return JSONResponse(job_json(self._songs.job(request.path_params["job"])))

    def _cancel(self, request: Request) -> Response:
        return JSONResponse(job_json(self._client.cancel(request.path_params["job"])))

    def _accept(self, request: Request) -> Response:
        return JSONResponse(job_json(self._client.accept(request.path_params["job"])))

    async def _star(self, request: Request) -> Response:
        body = await _body(request)
        job_id, starred = request.path_params["job"], body.get("starred") is True
        return JSONResponse(job_json(await run_in_threadpool(self._songs.star, job_id, starred)))

    async def _events(self, request: Request) -> Response:
        """Send the events of a job as server-sent events; their ids are its sequence numbers."""
        last = request.headers.get("last-event-id", request.query_params.get("after", "0"))
        watch = self._client.watch(request.path_params["job"], number_of(last, "Last-Event-ID"))
        first = await self._next(watch)  # here, so that an unknown job is a plain refusal
        return StreamingResponse(self._stream(watch, first), media_type="text/event-stream")

    async def _stream(self, watch: Iterator[JobEvent], event: JobEvent | None) -> AsyncIterator[str]:
        yield f"retry: {RECONNECT_MS}\n\n"
        while event is not None:
            yield f"id: {event.seq}\ndata: {json.dumps(event_json(event))}\n\n"
            if isinstance(event, StateChanged) and event.state.is_terminal:
                break
            try:
                event = await self._next(watch)
            except UgosaClientError:
                return  # the browser asks again, after the last event that it has
        yield "event: end\ndata: {}\n\n"

    async def _next(self, watch: Iterator[JobEvent]) -> JobEvent | None:
        # The thread of a page that was closed waits on for one event, and then ends.
        return await anyio.to_thread.run_sync(
            lambda: next(watch, None), abandon_on_cancel=True, limiter=self._watches
        )


async def _body(request: Request) -> dict[str, Any]:
    data = await _bounded(request, MAX_MARKS_FILE_BYTES)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadInputError("the body is not an object")
    return body


def _word(body: dict[str, Any], name: str) -> str | None:
    """Return a field that is text; BadInputError if it is anything else, None if it is not there."""
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or HALF_CHARACTER.search(value)):
        raise BadInputError(f"{name} is {value!r}, which is no text")
    return value


async def _bounded(request: Request, max_bytes: int) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > max_bytes:
            raise BadInputError(f"more than {max_bytes} bytes; that is more than any marks need")
    return bytes(data)


async def _disk_refusal(request: Request, error: Exception) -> Response:
    message = f"this machine's disk did not take it: {reason_of(error)}; free some space, then try again"
    return JSONResponse({"reason": "DISK", "message": message}, 507)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, UgosaClientError)
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    message = SONG_GONE if error.metadata.get("unknown") == "upload_id" else error.message
    return JSONResponse({"reason": error.reason, "message": message}, status)
