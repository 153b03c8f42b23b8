"""`ugosa batch DIR -o OUT`: every song of a directory, several at a time, resumable.

Songs are sent ahead of their turn, so that all workers of the server are busy however many there are.
A song's job gets its request_id from the song's bytes, its marks and the options, so that running the same
command again finds the jobs of the first run: done ones are fetched, running ones watched, failed ones tried
again.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ugosa_client.cli.batch_check import check_songs
from ugosa_client.cli.batch_files import SUMMARY_NAME, SongTree
from ugosa_client.cli.batch_work import Batch, SongOutcome
from ugosa_client.cli.brief_help import show_only
from ugosa_client.cli.exit_codes import ExitCode
from ugosa_client.cli.job_options import add_job_options, add_name, job_options, stem_files
from ugosa_client.cli.jobs import table_text
from ugosa_client.cli.reporter import Reporter
from ugosa_client.cli.separate import add_video_places, places_of
from ugosa_client.client import UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_client.errors import BadInputError, reason_of
from ugosa_client.fetch import require_folder
from ugosa_client.video import Sight

IN_FLIGHT = 100
OVERNIGHT = RetryPolicy(attempts=125)
"""Ten minutes, for a machine that starts anew: nobody is there to run a batch again."""
SUMMARY_COLUMNS = ["song", "result", "marks", "verdict", "computed", "seconds", "folder", "job", "message"]
SHOWN = (
    *("--out", "--check", "--recursive", "--forget", "--name", "--page"),
    *("--model", "--stems", "--for", "--format", "--server", "--json", "--overwrite"),
)
"""Options of the short help."""


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parser of this file."""
    parser = commands.add_parser(
        "batch", parents=[common], help="separate every song of a directory; run it again to go on"
    )
    parser.add_argument("directory", metavar="DIR", help="songs, marks beside them as SONG.txt, .csv or .lab")
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="gets a directory per song")
    parser.add_argument(
        "--in-flight",
        type=int,
        default=IN_FLIGHT,
        metavar="N",
        help="songs that the server has at a time, default %(default)s",
    )
    parser.add_argument("--recursive", action="store_true", help="with the songs of all folders in DIR")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only read all songs and marks, and say how much disk the stems will take",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that ugosa did not write")
    parser.add_argument(
        "--forget",
        action="store_true",
        help="delete each song and its job at the server once its stems are here (default: it keeps them as"
        " long as it keeps all)",
    )
    add_job_options(parser)
    add_name(parser)
    group = parser.add_argument_group("video of the players, for a model conditioned on video")
    group.add_argument(
        "--seen",
        action="store_true",
        help="beside each song: features SONG.npz, pictures in a folder SONG.frames, or a video SONG.mp4, "
        ".mov, .mkv or .webm",
    )
    add_video_places(group)
    parser.set_defaults(run=run_batch, retry=OVERNIGHT)
    show_only(parser, SHOWN)


def run_batch(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> ExitCode:
    """Separate all songs; one that fails does not stop the others."""
    if arguments.in_flight < 1:
        raise BadInputError(f"--in-flight {arguments.in_flight} is less than 1")
    out = Path(arguments.out)
    tree = SongTree(Path(arguments.directory), recursive=arguments.recursive, out=out)
    songs = tree.songs()
    places = video_places(arguments)
    left_out = tree.left_out(places is not None)
    for entry in left_out:
        reporter.say(f"{entry.name} is left out: {entry.why}")
    if arguments.check:
        return check_songs(tree, songs, job_options(arguments), out, client, reporter)
    options = replace(job_options(arguments), excerpt=bool(arguments.excerpt))  # no pages unless asked for
    rule = stem_files(arguments)
    work = Batch(client, tree, options, arguments.overwrite, places, rule, forget=arguments.forget)
    start_s = time.monotonic()
    with only_batch_into(out):
        outcomes = work.separate_all(tree.out_dirs(), arguments.in_flight, reporter)
    elapsed_s = time.monotonic() - start_s
    ordered = [outcomes[song] for song in songs]
    failed = [outcome for outcome in ordered if outcome.exit_code is not ExitCode.OK]
    computed = sum(outcome.computed and outcome.exit_code is ExitCode.OK for outcome in ordered)
    songs_per_hour = round(3600 * computed / elapsed_s, 1)
    there = len(ordered) - len(failed) - computed
    text = f"{summary(ordered)}\n{computed} computed, {songs_per_hour:g} an hour"
    text += f"; {there} were there already" if there else ""
    try:
        write_summary(out / SUMMARY_NAME, ordered)
    except OSError as error:  # the disk is full: what became of the songs is said all the same
        text += f"\n{out / SUMMARY_NAME} cannot be written: {reason_of(error)}"
    if left_out:
        text += f"\nleft out: {', '.join(entry.name for entry in left_out)}"
    result = {
        "songs": ordered,
        "left_out": left_out,
        "elapsed_s": round(elapsed_s, 3),
        "songs_per_hour": songs_per_hour,
    }
    if not failed:
        reporter.result(result, text)
        return ExitCode.OK
    reporter.close()
    message = f"{len(failed)} of {len(ordered)} songs failed; "
    if all(outcome.exit_code is ExitCode.BAD_INPUT for outcome in failed):
        message += "mend what the table lists, then run the same command again to try only these"
    elif work.lacked_room and not arguments.forget:
        message += "run the same command again with --forget, which makes room at the server by deleting"
        message += " each song there once its stems are here"
    else:
        message += "run the same command again to try only these"
    reporter.failed(ExitCode.JOB_FAILED, "BATCH", f"{message}\n{text}", result)
    return ExitCode.JOB_FAILED


def video_places(arguments: argparse.Namespace) -> Sight | None:
    """Return the players' places in all videos; None if videos are not used.

    Raises:
        BadInputError: places or times are given for no video.
    """
    places = places_of(arguments)
    if arguments.seen:
        return places
    if places != Sight():
        raise BadInputError("players' places and times are those of videos beside the songs; add --seen")
    return None


@contextmanager
def only_batch_into(out: Path) -> Iterator[None]:
    """Hold a folder of results, where the system and the disk can.

    Raises:
        BadInputError: another batch holds it, or it cannot be written.
    """
    require_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInputError(
                f"another `ugosa batch` writes into {out}; wait for its end, or name another folder"
            ) from error
        except OSError:
            pass  # some disks of a network have no locks
        yield
    finally:
        os.close(folder)


def write_summary(path: Path, outcomes: list[SongOutcome]) -> None:
    """Write a row for each song, for spreadsheets and scripts."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file)
        table.writerow(SUMMARY_COLUMNS)
        for outcome in outcomes:
            table.writerow(
                [
                    outcome.song,
                    result_word(outcome),
                    outcome.marks,
                    outcome.verdict,
                    "yes" if outcome.computed else "no",
                    outcome.elapsed_s,
                    outcome.out_dir,
                    outcome.job_id,
                    outcome.message,
                ]
            )


def result_word(outcome: SongOutcome) -> str:
    """Return "ok", or what went wrong in one word or two."""
    return "ok" if outcome.exit_code is ExitCode.OK else outcome.exit_code.name.lower().replace("_", " ")


def summary(outcomes: list[SongOutcome]) -> str:
    """Return the closing table."""
    table = Table("song", "result", "marks", "verdict", "time", "where", box=None)
    for outcome in outcomes:
        ok = outcome.exit_code is ExitCode.OK
        table.add_row(
            escape(outcome.song),
            result_word(outcome),
            str(outcome.marks),
            escape(outcome.verdict.partition(":")[0]),
            f"{outcome.elapsed_s:.1f} s",
            escape(outcome.out_dir if ok else outcome.message),
        )
    return table_text(table)
