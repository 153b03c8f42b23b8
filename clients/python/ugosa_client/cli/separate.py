"""`ugosa separate` and `ugosa submit`: from a song on disk to a job, and to stems."""

from __future__ import annotations

import argparse
from typing import Any

from ugosa_client.cli.job_options import add_job_options, job_options
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.events import JobEvent
from ugosa_client.resources import Job
from ugosa_client.separate import Separation, SeparationRequest
from ugosa_client.video import Sight, parse_boxes


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""
    separate = commands.add_parser("separate", parents=[common], help="separate a song, from upload to stems")
    _add_song(separate)
    separate.add_argument("-o", "--out", required=True, metavar="DIR", help="directory for stems and report")
    separate.add_argument("--overwrite", action="store_true", help="replace files that ugosa did not write")
    add_job_options(separate)
    separate.set_defaults(run=run_separate)

    submit = commands.add_parser("submit", parents=[common], help="upload a song and make its job, no more")
    _add_song(submit)
    submit.add_argument("--detach", action="store_true", help="the default of submit; accepted for scripts")
    add_job_options(submit)
    submit.set_defaults(run=run_submit)


def _add_song(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "song", metavar="SONG", help="WAV, FLAC, AIFF, MP3, OGG, M4A, or a REAPER project (.rpp)"
    )
    parser.add_argument(
        "--marks",
        metavar="FILE",
        help="labels or regions of any format of `ugosa marks`; without it: no adaptation",
    )
    add_sight(parser)
    parser.add_argument("--request-id", metavar="ID", help="the same ID and request again give the same job")


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
    files = (arguments.video_features, arguments.video_frames, arguments.video)
    if not (any(files) or arguments.players or arguments.video_every or arguments.video_start):
        return None
    return Sight(
        features=arguments.video_features,
        pictures=arguments.video_frames,
        video=arguments.video,
        players=parse_boxes(arguments.players) if arguments.players else (),
        every_s=arguments.video_every,
        start_s=arguments.video_start,
    )


def request_of(arguments: argparse.Namespace) -> SeparationRequest:
    """Return the request of parsed arguments."""
    return SeparationRequest(
        arguments.song,
        marks=arguments.marks or (),
        options=job_options(arguments),
        request_id=arguments.request_id,
        sight=sight_of(arguments),
    )


def run_separate(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Upload, make the job, watch it, and fetch its results; Ctrl-C cancels the job."""
    job = client.submit(
        request_of(arguments),
        out_dir=arguments.out,
        overwrite=arguments.overwrite,
        on_upload=reporter.uploaded,
    )
    reporter.job_made(job)
    separation = finish_or_cancel(client, job, arguments.out, arguments.overwrite, reporter)
    files = separation.files
    listing = [*files.stems.values(), files.report_json, files.report_html]
    verdict = separation.job.verdict
    reporter.result(
        {"job": separation.job, "files": [str(path) for path in listing]},
        "\n".join(map(str, listing)),
        closing=verdict.message if verdict else "",
    )


def run_submit(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Upload and make the job."""
    job = client.submit(request_of(arguments), on_upload=reporter.uploaded)
    reporter.result({"job": job}, job.job_id)


def finish_or_cancel(
    client: UgosaClient, job: Job, out_dir: str, overwrite: bool, reporter: Reporter
) -> Separation:
    """Watch a job and fetch its results; Ctrl-C cancels the job, a second one leaves it."""
    last_seq = 0

    def happened(event: JobEvent) -> None:
        nonlocal last_seq
        last_seq = event.seq
        reporter.happened(event)

    def finish() -> Separation:
        return client.finish(
            job,
            out_dir,
            after_seq=last_seq,
            overwrite=overwrite,
            on_event=happened,
            on_fetch=reporter.fetched,
        )

    try:
        return finish()
    except KeyboardInterrupt:
        if client.cancel(job.job_id).state.is_terminal and client.get_job(job.job_id).stems:
            raise  # nothing is left to cancel; what was fetched stays and `ugosa fetch` completes it
        reporter.say(f"cancelling job {job.job_id}; Ctrl-C again leaves it to the server")
        return finish()
