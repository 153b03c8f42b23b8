"""`ugosa daw`: jobs for DAW scripts, which can start a program but not read its output.

The script writes a request file (JSON), starts the helper without waiting for it, and follows a progress file
to which whole JSON lines are added: the objects of `--json`, and `{"event": "alive"}` while nothing else
happens, so that the script can tell a long step from a dead helper. The last line is the result.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from ugosa_client.cli.audition import Audition
from ugosa_client.cli.exit_codes import ExitCode
from ugosa_client.cli.private_server import ensure_server
from ugosa_client.cli.reporter import JsonReporter, Reporter, report_error
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, JobCancelledError, UgosaClientError, reason_of
from ugosa_client.resources import ENUM_OPTIONS, MODEL_DEFAULTS, Job, JobOptions, Mark, MarkState
from ugosa_client.separate import SeparationRequest
from ugosa_client.stretch import cut_stretch, open_for_cutting

ALIVE_S = 2.0  # between signs of life; scripts give a helper up after several of them
CANCEL_POLL_S = 0.2

FILES_HELP = """\
A script that can start a program, but not read what it prints, writes a request file, starts one of these
actions without waiting, and reads the progress file again and again.

request file, a JSON object (paths are absolute, frames at the song's rate; [...] may be left out):
  progress_file    where the action writes; replaced at its start
  run, resume:
    song, out_dir    the audio file, and the folder for stems and report
    cancel_file      cancels the job as soon as it is there
    [accept_file]    has the job learn no more and go on to the stems, as soon as it is there
    [preview_dir]    folder for the previews of a job with the options preview_start_frame and
                     preview_end_frame; "preview" objects say their "files"
    [start_frame, end_frame]  the part of the song to separate
    [marks]          {"source", "state": "silent" or "active", "start_frame", "end_frame"}, in that part
    [options]        by the names of JobOptions: "model", "preset", "strategy", "epochs", ...
    [request_id]     the same again gives the same job
  call:
    command          words of a ugosa command, for example ["models"]
  [server]         address

progress file, one JSON object a line (leave a last line without its end for later):
  the objects of --json, and {"event": "alive"} every 2 s; after 20 s without a line the helper is dead.
  The last one is {"event": "result", "ok": true or false, "exit_code": N, ...}: with "stems" (each
  "source", "path"), the same of the model as it is ("base_stems", of a job with the option base_stems) and
  "report", or with "error": {"reason", "message"}.
"""


@dataclass(frozen=True)
class HelperRequest:
    """Request file of a script."""

    progress_file: Path
    """File for the events, which the script reads; replaced."""
    cancel_file: Path
    """File that the script makes to cancel."""
    song: Path
    """The audio file behind the item."""
    out_dir: Path
    """Folder for stems and reports."""
    start_frame: int = 0
    """First frame of the song that the item plays."""
    end_frame: int | None = None
    """One past the last frame that the item plays; None = the end of the song."""
    marks: tuple[Mark, ...] = ()
    """Marks in frames from `start_frame`."""
    options: JobOptions = MODEL_DEFAULTS
    request_id: str | None = None
    """Id of the request: the same again gives the same job."""
    server: str | None = None
    """Address; None = the default."""
    accept_file: Path | None = None
    """File that the script makes to take what is learned so far."""
    preview_dir: Path | None = None
    """Folder for previews of what is being learned; None = they are not fetched."""


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""
    daw = commands.add_parser(
        "daw", help="for scripts in a DAW: work from a request file", description=FILES_HELP
    )
    actions = daw.add_subparsers(dest="action", required=True, metavar="ACTION")

    run = actions.add_parser("run", parents=[common], help="separate as a request file asks")
    run.add_argument("request", metavar="REQUEST.json")
    run.set_defaults(run=run_helper, job_id=None, needs_server=False)

    resume = actions.add_parser("resume", parents=[common], help="follow a job to its end and fetch it")
    resume.add_argument("job_id", metavar="JOB")
    resume.add_argument("request", metavar="REQUEST.json")
    resume.set_defaults(run=run_helper, needs_server=False)

    call = actions.add_parser(
        "call", parents=[common], help="run any ugosa command with its JSON lines in the progress file"
    )
    call.add_argument("request", metavar="REQUEST.json")
    call.set_defaults(run=run_call, needs_server=False)


def run_helper(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> ExitCode:
    """Separate, or take up the job `arguments.job_id`; errors go to the progress file too."""
    request = read_request(arguments.request)
    with progress_lines(request.progress_file), UgosaClient(request.server or client.target) as client:
        lines = JsonReporter()
        with Attendant(client, request.cancel_file, request.accept_file) as attendant:
            try:
                ensure_server(request.server or arguments.server, lines.say)
                job = (
                    client.get_job(arguments.job_id) if arguments.job_id else _submit(request, client, lines)
                )
                _follow(job, request, client, lines, attendant)
            except (UgosaClientError, OSError) as error:
                return report_error(error, lines)
    return ExitCode.OK


def run_call(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> ExitCode:
    """Run the command of a request file, for example `["models"]`."""
    from ugosa_client import __version__
    from ugosa_client.cli import main  # that module imports this one

    values = _read_json(arguments.request)
    command = values.get("command")
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise BadInputError(f"{arguments.request}: 'command' is {command!r}, not a list of words")
    server = ["--server", str(values["server"])] if values.get("server") else []
    with progress_lines(_path(arguments.request, values, "progress_file")):
        try:
            return ExitCode(main([*command, "--json", *server]))
        except SystemExit:  # argparse has said more on stderr
            message = f"this ugosa ({__version__}) does not understand {' '.join(command)!r}; is it too old?"
            JsonReporter().failed(ExitCode.BAD_INPUT, "", message, {})
            return ExitCode.BAD_INPUT


def read_request(path: str | os.PathLike[str]) -> HelperRequest:
    """Read a request file.

    Raises:
        BadInputError: it cannot be read, lacks something, or has something that nobody knows.
    """
    values = _read_json(path)
    known = {field.name for field in fields(HelperRequest)}
    if unknown := sorted(values.keys() - known):
        raise BadInputError(f"{path}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        needed = ("progress_file", "cancel_file", "song", "out_dir")
        names = (*needed, *(name for name in ("accept_file", "preview_dir") if name in values))
        return HelperRequest(
            **{name: _path(path, values, name) for name in names},
            start_frame=int(values.get("start_frame", 0)),
            end_frame=None if values.get("end_frame") is None else int(values["end_frame"]),
            marks=tuple(_mark(mark) for mark in values.get("marks", ())),
            options=_options(values.get("options", {})),
            request_id=_text(values, "request_id"),
            server=_text(values, "server"),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"{path}: {type(error).__name__}: {error}") from None


def _read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")  # a path may be no text
        values = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError(f"cannot read the request {path}: {reason_of(error)}") from None
    if not isinstance(values, dict):
        raise BadInputError(f"the request {path} is not a JSON object")
    return values


def _path(request: str | os.PathLike[str], values: Mapping[str, Any], name: str) -> Path:
    path = values.get(name)
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise BadInputError(f"{request}: {name!r} is {path!r}, not an absolute path")
    return Path(path)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    text = values.get(name)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{name!r} is {text!r}, not a string")
    return text


def _mark(values: Mapping[str, Any]) -> Mark:
    state = MarkState(values["state"])
    return Mark(str(values["source"]), state, int(values["start_frame"]), int(values["end_frame"]))


def _options(values: Mapping[str, Any]) -> JobOptions:
    words = {name: kind(values[name]) for name, kind in ENUM_OPTIONS.items() if values.get(name)}
    return JobOptions(**{**values, **words})


def _submit(request: HelperRequest, client: UgosaClient, lines: JsonReporter) -> Job:
    def uploaded(done_bytes: int, all_bytes: int) -> None:
        lines.uploaded(done_bytes, all_bytes)
        if request.cancel_file.exists():
            raise UgosaClientError("cancelled during the upload; no job was made", "CANCELLED")

    request.out_dir.mkdir(parents=True, exist_ok=True)
    with stretch_of(request) as song:
        separation = SeparationRequest(song, request.marks, request.options, request_id=request.request_id)
        return client.submit(separation, out_dir=request.out_dir, on_upload=uploaded)


def _follow(
    job: Job, request: HelperRequest, client: UgosaClient, lines: JsonReporter, attendant: Attendant
) -> None:
    lines.job_made(job)
    attendant.job_id = job.job_id

    def fetched(file_name: str, done_bytes: int, all_bytes: int) -> None:
        lines.fetched(file_name, done_bytes, all_bytes)
        if request.cancel_file.exists():
            raise JobCancelledError(job)

    on_event = lines.happened
    if request.preview_dir is not None:
        on_event = Audition(client, request.preview_dir, lines, on_event).happened
    separation = client.finish(job, request.out_dir, on_event=on_event, on_fetch=fetched)
    files = separation.files
    stems, base_stems = (
        [{"source": source, "path": path} for source, path in paths.items()]
        for paths in (files.stems, files.base_stems)
    )
    values = {"job": separation.job, "stems": stems, "base_stems": base_stems, "report": files.report_html}
    lines.result(values, "")


@contextmanager
def stretch_of(request: HelperRequest) -> Iterator[Path]:
    """Yield the file to send: the song, or a temporary WAV of just the requested frames.

    Every sample stays what it is: integers are cut as integers of the same width, all else as float.

    Raises:
        BadInputError: the frames are not in the song.
    """
    start = request.start_frame
    if start == 0 and request.end_frame is None:
        yield request.song
        return
    with open_for_cutting(request.song) as song:
        end = song.frames if request.end_frame is None else request.end_frame
        if not 0 <= start < end <= song.frames:
            raise BadInputError(
                f"the item plays frames {start} to {end}, but {request.song} has {song.frames} frames"
            )
        if (start, end) == (0, song.frames):
            yield request.song
            return
        path = request.out_dir / f"{request.song.stem} {start}-{end}.wav"
        try:
            cut_stretch(song, start, end, path)
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def progress_lines(path: Path) -> Iterator[None]:
    """Redirect stdout to a file, whole lines at a time, with signs of life in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        lines = _Lines(file)

        def live() -> None:
            while not ended.wait(ALIVE_S):
                lines.write('{"event": "alive"}\n')

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        try:
            with redirect_stdout(lines):
                yield
        finally:
            ended.set()
            thread.join()


class _Lines:
    """A text stream that several threads write to; each write is one or more whole lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            size = self._file.write(text)
            self._file.flush()
        return size

    def flush(self) -> None:
        """Do nothing: every write is flushed."""


class Attendant:
    """Watcher of the files of a script: a thread that cancels or accepts the job at the server."""

    def __init__(self, client: UgosaClient, cancel_file: Path, accept_file: Path | None) -> None:
        self.job_id: str | None = None
        """Set once there is a job."""
        self._client = client
        self._cancel_file = cancel_file
        self._accept_file = accept_file
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Attendant:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        is_accepted = self._accept_file is None
        while not self._ended.wait(CANCEL_POLL_S):
            if self.job_id is None:
                continue
            try:
                if self._cancel_file.exists():
                    self._client.cancel(self.job_id)
                    return
                if not is_accepted and self._accept_file is not None and self._accept_file.exists():
                    self._client.accept(self.job_id)
                    is_accepted = True
            except UgosaClientError:
                continue  # the server is away for the moment; the wish stays
