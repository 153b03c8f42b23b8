"""`ugosa batch DIR -o OUT`: every song of a directory, several at a time, resumable.

Songs are sent ahead of their turn, so that all workers of the server are busy however many there are.
A song's job gets its request_id from the song's bytes, its marks and the options, so that running the same
command again finds the jobs of the first run: done ones are fetched, running ones watched, failed ones tried
again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ugosa_client.cli.batch_check import check_songs
from ugosa_client.cli.batch_files import SUMMARY_NAME, SongTree
from ugosa_client.cli.exit_codes import ExitCode, exit_code
from ugosa_client.cli.job_options import add_job_options, add_name, job_options, stem_files
from ugosa_client.cli.jobs import table_text
from ugosa_client.cli.reporter import Reporter
from ugosa_client.cli.separate import add_video_places
from ugosa_client.client import UgosaClient
from ugosa_client.errors import (
    BadInputError,
    ClosedError,
    ResourceExhaustedError,
    UgosaClientError,
    sentence_of,
)
from ugosa_client.resources import Job, JobOptions, JobState
from ugosa_client.separate import SeparationRequest
from ugosa_client.song import FileSong
from ugosa_client.stem_files import PLAIN, StemFiles
from ugosa_client.video import Sight, parse_boxes

QUEUE_FULL_WAIT_S = 5.0
IN_FLIGHT = 100
SUMMARY_COLUMNS = ["song", "result", "marks", "verdict", "computed", "seconds", "folder", "job", "message"]
STOP_CHECK_S = 0.5
SENDERS = 4  # songs that are sent at once
FOLLOWERS = 16  # jobs that are watched or fetched at once


@dataclass(frozen=True)
class SongOutcome:
    """Outcome of one song of a batch."""

    song: str
    """File name."""
    exit_code: ExitCode
    """Exit status of `ugosa separate` with this song."""
    out_dir: str
    """Directory of its results."""
    job_id: str = ""
    """Id of its job; empty if none was made."""
    marks: int = 0
    """Number of marks; 0 = separated without adaptation."""
    elapsed_s: float = 0.0
    """Seconds from its turn to its end."""
    computed: bool = False
    """True if it was computed in this run, and not found done."""
    verdict: str = ""
    """Whether fine-tuning helped, in words; empty if nothing was fine-tuned."""
    message: str = ""
    """Error message; empty if it succeeded."""


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
    add_job_options(parser, lossy=True)
    add_name(parser)
    group = parser.add_argument_group("video of the players, for a model conditioned on video")
    group.add_argument(
        "--seen",
        action="store_true",
        help="beside each song: features SONG.npz, pictures in a folder SONG.frames, or a video SONG.mp4, "
        ".mov, .mkv or .webm",
    )
    add_video_places(group)
    parser.set_defaults(run=run_batch)


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
    work = Batch(client, tree, options, arguments.overwrite, places, stem_files(arguments))
    start_s = time.monotonic()
    outcomes = work.separate_all(tree.out_dirs(), arguments.in_flight, reporter)
    elapsed_s = time.monotonic() - start_s
    ordered = [outcomes[song] for song in songs]
    failed = [outcome for outcome in ordered if outcome.exit_code is not ExitCode.OK]
    computed = sum(outcome.computed and outcome.exit_code is ExitCode.OK for outcome in ordered)
    songs_per_hour = round(3600 * computed / elapsed_s, 1)
    there = len(ordered) - len(failed) - computed
    text = f"{summary(ordered)}\n{computed} computed, {songs_per_hour:g} songs an hour"
    text += f"; {there} were there already" if there else ""
    write_summary(out / SUMMARY_NAME, ordered)
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
    else:
        message += "run the same command again to try only these"
    reporter.failed(ExitCode.JOB_FAILED, "BATCH", f"{message}\n{text}", result)
    return ExitCode.JOB_FAILED


@dataclass(frozen=True)
class SentSong:
    """A song whose job was made, or could not be."""

    song: Path
    """File."""
    out_dir: Path
    """Directory for its results."""
    reporter: Reporter
    """Reporter of this song."""
    start_s: float
    """Time of its turn, on the monotonic clock."""
    job: Job | None = None
    """The job; None = there is none."""
    error: UgosaClientError | OSError | None = None
    """Reason that there is none."""


class Batch:
    """Sender of songs and follower of their jobs, in several threads."""

    def __init__(
        self,
        client: UgosaClient,
        tree: SongTree,
        options: JobOptions,
        overwrite: bool,
        places: Sight | None = None,
        stem_files: StemFiles = PLAIN,
    ) -> None:
        """Keep what all songs share.

        Args:
            client: of the server.
            tree: the songs, and what lies beside them.
            options: of every job.
            overwrite: whether files are replaced that ugosa did not write.
            places: where the players are in the videos beside the songs; None = nothing is seen.
            stem_files: how stems become files.
        """
        self._stem_files = stem_files
        self._client = client
        self._tree = tree
        self._places = places
        self._options = options
        self._overwrite = overwrite
        ended_without_stems = (JobState.FAILED, JobState.CANCELLED)
        self._done_before = {job.request_id for job in client.list_jobs((JobState.SUCCEEDED,))}
        self._gone_wrong = {job.request_id for job in client.list_jobs(ended_without_stems)}
        self.stop = threading.Event()
        """Set when no further work should be begun."""

    def separate_all(
        self, out_dirs: dict[Path, Path], in_flight: int, reporter: Reporter
    ) -> dict[Path, SongOutcome]:
        """Separate all songs, with at most `in_flight` of them sent and not yet fetched."""
        room = threading.Semaphore(in_flight)
        senders = ThreadPoolExecutor(max_workers=SENDERS)
        followers = ThreadPoolExecutor(max_workers=FOLLOWERS)
        outcomes: dict[Path, SongOutcome] = {}

        def send_and_follow(song: Path, out_dir: Path) -> Future[SongOutcome]:
            while not room.acquire(timeout=STOP_CHECK_S):
                if self.stop.is_set():
                    raise ClosedError("interrupted")
            sent = self.send(song, out_dir, reporter.for_song(self._tree.name(song)))
            following = followers.submit(self.follow, sent)
            following.add_done_callback(lambda _: room.release())
            return following

        try:
            sending = {senders.submit(send_and_follow, *item): item[0] for item in out_dirs.items()}
            following = {future.result(): sending[future] for future in as_completed(sending)}
            for future in as_completed(following):
                outcomes[following[future]] = future.result()
        except BaseException:
            self.stop.set()
            self._client.close()  # ends the calls of all threads; their jobs go on at the server
            raise
        finally:
            senders.shutdown(cancel_futures=True)
            followers.shutdown(cancel_futures=True)
        return outcomes

    def send(self, song: Path, out_dir: Path, reporter: Reporter) -> SentSong:
        """Upload a song and make its job."""
        start_s = time.monotonic()
        try:
            return SentSong(song, out_dir, reporter, start_s, self._job(song, out_dir, reporter))
        except (UgosaClientError, OSError) as error:
            return SentSong(song, out_dir, reporter, start_s, error=error)

    def follow(self, sent: SentSong) -> SongOutcome:
        """Watch a song's job to its end, fetch its results and return its outcome."""
        error: UgosaClientError | OSError | None = sent.error
        job, verdict = sent.job, None
        if job is not None:
            try:
                sent.reporter.job_made(job)
                separation = self._client.finish(
                    job,
                    sent.out_dir,
                    overwrite=self._overwrite,
                    stem_files=self._stem_files,
                    on_event=sent.reporter.happened,
                    on_fetch=sent.reporter.fetched,
                )
                verdict = separation.job.verdict
            except (UgosaClientError, OSError) as caught:
                error = caught
        if error is None:
            code, message = ExitCode.OK, ""
        elif isinstance(error, UgosaClientError):
            code, message = exit_code(error), error.message
        else:
            code, message = ExitCode.BAD_INPUT, sentence_of(error)
        return SongOutcome(
            song=self._tree.name(sent.song),
            exit_code=code,
            out_dir=str(sent.out_dir),
            job_id=job.job_id if job else "",
            marks=len(job.marks) if job else 0,
            elapsed_s=round(time.monotonic() - sent.start_s, 3),
            computed=job is not None and job.request_id not in self._done_before,
            verdict=verdict.message if verdict else "",
            message=message,
        )

    def _job(self, song: Path, out_dir: Path, reporter: Reporter) -> Job:
        """Return the song's job of an earlier run, unless that failed, or a new one."""
        marks = self._tree.marks(song)
        sight = self._tree.sight(song, self._places) if self._places is not None else None
        request_id = first_id = batch_request_id(FileSong(song).sha256, marks, self._options, sight)
        attempt = 1
        while request_id in self._gone_wrong:
            attempt += 1
            request_id = f"{first_id}-{attempt}"
        while True:
            if self.stop.is_set():
                raise ClosedError("interrupted")
            try:
                return self._client.submit(
                    SeparationRequest(song, marks or (), self._options, request_id=request_id, sight=sight),
                    out_dir=out_dir,
                    overwrite=self._overwrite,
                    stem_files=self._stem_files,
                    on_upload=reporter.uploaded,
                )
            except ResourceExhaustedError as error:
                if error.reason != "QUEUE_FULL" and error.metadata.get("limit") != "quota_queued_jobs":
                    raise
                reporter.say("the server's queue is full; waiting")
                self.stop.wait(QUEUE_FULL_WAIT_S)


def video_places(arguments: argparse.Namespace) -> Sight | None:
    """Return the players' places in all videos; None if videos are not used.

    Raises:
        BadInputError: places or times are given for no video.
    """
    places = Sight(
        players=parse_boxes(arguments.players) if arguments.players else (),
        every_s=arguments.video_every,
        start_s=arguments.video_start,
    )
    if arguments.seen:
        return places
    if places != Sight():
        raise BadInputError("players' places and times are those of videos beside the songs; add --seen")
    return None


def batch_request_id(
    song_sha256: str, marks: Path | None, options: JobOptions, sight: Sight | None = None
) -> str:
    """Return an id that the same song, marks, options and video always get."""
    digest = hashlib.sha256(bytes.fromhex(song_sha256))
    digest.update(json.dumps(asdict(options), sort_keys=True).encode())
    digest.update(hashlib.sha256(marks.read_bytes() if marks else b"").digest())
    if sight is not None:
        digest.update(bytes.fromhex(sight.sha256()))
    return "batch-" + digest.hexdigest()[:40]


def write_summary(path: Path, outcomes: list[SongOutcome]) -> None:
    """Write a row for each song, for spreadsheets and scripts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
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
    table = Table("song", "result", "marks", "time", "where", box=None)
    for outcome in outcomes:
        ok = outcome.exit_code is ExitCode.OK
        table.add_row(
            escape(outcome.song),
            result_word(outcome),
            str(outcome.marks),
            f"{outcome.elapsed_s:.1f} s",
            escape(outcome.out_dir if ok else outcome.message),
        )
    return table_text(table)
