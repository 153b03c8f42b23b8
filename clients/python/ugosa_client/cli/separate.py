"""`ugosa separate`, and `ugosa submit`, which is `separate --detach`: from a song to a job, and to stems."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from ugosa_client.cli.audition import Audition, add_audition, audition_span
from ugosa_client.cli.brief_help import show_only
from ugosa_client.cli.interrupts import Interrupts
from ugosa_client.cli.job_options import add_job_options, add_name, job_options, stem_files
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, ServerUnavailableError
from ugosa_client.events import BaseStemsReady, JobEvent
from ugosa_client.marks.file import read_marks_of_stretch
from ugosa_client.marks.regions import Position, parse_time
from ugosa_client.resources import BaseStems
from ugosa_client.result_folders import BASE_FOLDER, free_folder
from ugosa_client.separate import Separation, SeparationRequest, find_model, take_project
from ugosa_client.stretch import cut_times
from ugosa_client.video import Sight, parse_boxes

START_HELP = "; this command takes auto, and a FILE of `ugosa adapter get` too"
START = re.compile(r"auto|none|(job|upload)-[0-9a-f]{16}")
SHOWN = (
    *("--marks", "--out", "--model", "--stems", "--for", "--format"),
    *("--server", "--json", "--overwrite"),
)
"""Options of the short help."""
SHOWN_NAMES = 5


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""
    separate = commands.add_parser("separate", parents=[common], help="separate a song, from upload to stems")
    submit = commands.add_parser("submit", parents=[common], help="the same as separate --detach")
    for parser in (separate, submit):
        _add_song(parser)
        add_out(parser)
        parser.add_argument(
            "--detach", action="store_true", help="upload the song and make its job, no more: print its id"
        )
        add_job_options(parser, start_help=START_HELP)
        add_name(parser)
        add_audition(parser)
        parser.set_defaults(run=run_separate)
        show_only(parser, SHOWN)
    submit.set_defaults(detach=True)


def add_out(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add the directory of one song's results."""
    default = "" if required else " (default: SONG-stems)"
    parser.add_argument(
        "-o",
        "--out",
        required=required,
        metavar="DIR",
        help=f"directory for stems and report{default}; results of another job stay there, and DIR-2, DIR-3"
        " ... follow",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR, whoever wrote it")


def _add_song(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "song", metavar="SONG", help="WAV, FLAC, AIFF, MP3, OGG, M4A, or a REAPER project (.rpp)"
    )
    parser.add_argument(
        "--marks",
        metavar="FILE",
        help="labels or regions of any format of `ugosa marks`; without it: no adaptation",
    )
    parser.add_argument("--from", dest="start", type=_time, metavar="TIME", help="only from 1:00 on")
    parser.add_argument("--to", dest="end", type=_time, metavar="TIME", help="only up to 1:30")
    add_sight(parser)
    parser.add_argument(
        "--again", action="store_true", help="make the stems anew though an equal request has made them"
    )
    parser.add_argument("--request-id", metavar="ID", help="the same ID and request again give the same job")


def _time(text: str) -> Position:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_sight(parser: argparse.ArgumentParser) -> None:
    """Add the options for a video of the players."""
    group = parser.add_argument_group("video of the players, for a model conditioned on video")
    files = group.add_mutually_exclusive_group()
    files.add_argument("--video", metavar="FILE", help="a video; the server takes pictures of it")
    files.add_argument("--video-frames", metavar="DIR", help="pictures PLAYER_SECONDS.jpg such as 0_12.5.jpg")
    files.add_argument(
        "--video-features", metavar="FILE.npz", help="features, made by `ugosa-server video features`"
    )
    add_video_places(group)


def add_video_places(group: argparse._ArgumentGroup) -> None:
    """Add the players' places in a video, and the times of its pictures."""
    group.add_argument(
        "--players",
        default="",
        metavar="LEFT,TOP,WIDTH,HEIGHT;...",
        help="of a video: where each player is in it (default: one, the whole picture)",
    )
    group.add_argument(
        "--video-every",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="of a video: between pictures (default: what the model looks at)",
    )
    group.add_argument(
        "--video-start",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="of a video: where in the song it begins, may be negative (default: 0)",
    )


def sight_of(arguments: argparse.Namespace) -> Sight | None:
    """Return the video, pictures or features of the players, if there are any."""
    sight = replace(
        places_of(arguments),
        features=arguments.video_features or None,
        pictures=arguments.video_frames or None,
        video=arguments.video or None,
    )
    return None if sight == Sight() else sight


def places_of(arguments: argparse.Namespace) -> Sight:
    """Return the players' places in a video, and the times of its pictures, without the video."""
    return Sight(
        players=parse_boxes(arguments.players) if arguments.players else (),
        every_s=arguments.video_every,
        start_s=arguments.video_start,
    )


def run_separate(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Upload, make the job, watch it, and fetch its results."""
    if arguments.out is None and not arguments.detach:
        arguments.out = f"{Path(arguments.song).stem}-stems"
    rule = stem_files(arguments)
    if is_watched(arguments):
        arguments.base_stems = BaseStems.EARLY.value
    preview_s = audition_span(arguments)
    with request_of(arguments, client) as request:
        request = replace(request, preview_s=preview_s)
        job = client.submit(
            request,
            out_dir=arguments.out,
            overwrite=arguments.overwrite,
            stem_files=rule,
            on_upload=reporter.uploaded,
            on_left_out=partial(say_left_out, reporter),
        )
    if is_reused := job.request_id != request.request_id:
        made = f" of {job.create_time.astimezone():%Y-%m-%d %H:%M}" if job.create_time else ""
        reporter.say(f"job {job.job_id}{made} has the stems of this request; --again makes them anew")
    if arguments.detach:
        reporter.result({"job": job}, job.job_id)
        return
    if not is_reused:
        reporter.job_made(job)
    with Interrupts(client, job, reporter) as interrupts:

        def on_event(event: JobEvent) -> None:
            interrupts.happened(event)
            if isinstance(event, BaseStemsReady):
                folder = free_folder(Path(arguments.out), job.job_id) / BASE_FOLDER
                reporter.say(f"listen meanwhile: {folder}")

        shown = on_event
        if arguments.audition is not None:
            shown = Audition(client, arguments.audition, reporter, on_event).happened
        try:
            separation = client.finish(
                job,
                arguments.out,
                after_seq=job.last_seq if is_reused else 0,
                overwrite=arguments.overwrite,
                beside=not arguments.overwrite,
                stem_files=rule,
                on_event=shown,
                on_fetch=reporter.fetched,
            )
        except ServerUnavailableError:
            reporter.say(
                f"the server keeps the job: `ugosa watch {job.job_id}` and "
                f"`ugosa fetch {job.job_id} -o {quote(str(arguments.out))}` come back to it"
            )
            raise
    listing = [str(path) for path in separation.files.paths]
    reporter.result(
        {"job": separation.job, "folder": separation.files.folder, "files": listing},
        "\n".join(listing),
        closing=closing_line(separation),
    )


def say_left_out(reporter: Reporter, names: Sequence[str]) -> None:
    """Say which regions of the marks file are no marks, if there are any."""
    if names:
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        listed = ", ".join(map(repr, names[:SHOWN_NAMES]))
        reporter.say(
            f"note: regions that are no marks are left out: {listed}{more} (`ugosa marks lint` says why)"
        )


def is_watched(arguments: argparse.Namespace) -> bool:
    """Return whether somebody waits at a terminal, and leaves open what to hear early."""
    is_open = arguments.base_stems is None and arguments.request_id is None
    return is_open and not (arguments.detach or arguments.json) and sys.stdout.isatty()


def closing_line(separation: Separation) -> str:
    """Say whether fine-tuning helped, where to listen, which job it was, and how long it took."""
    job, files = separation.job, separation.files
    sentence = job.verdict.message if job.verdict else "done"
    where = (
        f"see {files.report_json}, and `ugosa report {job.job_id} -o {quote(str(files.folder))}` makes a page"
    )
    if files.report_html:
        where = f"listen with {files.report_html}"
    took = ""
    if job.start_time and job.end_time:
        took = f", {(job.end_time - job.start_time).total_seconds():.0f} s"
    return f"{sentence}; {where} ({job.job_id}{took})"


@contextmanager
def request_of(arguments: argparse.Namespace, client: UgosaClient) -> Iterator[SeparationRequest]:
    """Yield the request of parsed arguments; a part of the song is a temporary file meanwhile."""
    start = arguments.start_from or ("none" if arguments.again else "auto")
    is_file = not START.fullmatch(start)
    if is_file and not Path(start).exists():
        raise BadInputError(
            f"--start-from {start}: that is neither auto, none nor a job, and no file is there"
        )
    request = SeparationRequest(
        arguments.song,
        marks=arguments.marks or (),
        options=replace(job_options(arguments), start_from=None if is_file else start),
        adapter=start if is_file else None,
        request_id=arguments.request_id or str(uuid.uuid4()),
        sight=sight_of(arguments),
        reuse=not (arguments.again or arguments.request_id),
    )
    if arguments.start is None and arguments.end is None:
        yield request
        return
    if request.sight is not None:
        raise BadInputError("a part of a song has no video of its players; leave out --from and --to")
    song, marks = take_project(request.song, request.marks)
    with tempfile.TemporaryDirectory(prefix="ugosa-") as folder:
        start = arguments.start or parse_time("0")
        part, *stretch = cut_times(Path(str(song)), start, arguments.end, Path(folder))
        if isinstance(marks, str | os.PathLike):
            sources = find_model(client.models(), request.options.model).sources
            marks = read_marks_of_stretch(marks, sources, *stretch)
        yield replace(request, song=part, marks=marks)
