"""The work of `ugosa batch`: songs are sent, and their jobs followed, several at a time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ugosa_client.cli.batch_files import SongTree
from ugosa_client.cli.exit_codes import ExitCode, exit_code
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import (
    ClosedError,
    NotFoundError,
    ResourceExhaustedError,
    UgosaClientError,
    message_of,
)
from ugosa_client.marks.file import RegionFile
from ugosa_client.resources import Job, JobOptions, JobState
from ugosa_client.separate import Separation, SeparationRequest
from ugosa_client.song import FileSong
from ugosa_client.stem_files import PLAIN, StemFiles
from ugosa_client.video import Sight

DONE_NAME = ".ugosa-batch.json"  # says in the folder of a song that it is done; the server may forget it
FULL_WAIT_S = 5.0
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


@dataclass(frozen=True)
class DoneSong:
    """A song whose results lie in its folder."""

    request_id: str
    """Id that the same song, marks, options and video always get."""
    stem_files: dict[str, str | None]
    """Rule by which the stems were named and encoded."""
    sizes_bytes: dict[str, int]
    """Size of each result, by its path in the folder."""
    job_id: str
    marks: int
    verdict: str
    """Whether fine-tuning helped, in words."""


@dataclass(frozen=True)
class SentSong:
    """A song whose job was made, or could not be."""

    song: Path
    out_dir: Path
    reporter: Reporter
    start_s: float
    """Time of its turn, on the monotonic clock."""
    sha256: str = ""
    """Hex, of its bytes; empty if it cannot be read."""
    request_id: str = ""
    """Id of what was read of it and its marks, which may change before its job ends; empty as `sha256`."""
    job: Job | None = None
    """The job; None = there is none."""
    error: UgosaClientError | OSError | None = None
    """Reason that there is none."""
    done: DoneSong | None = None
    """Results that are there already, of a job that the server has forgotten."""


class ServerCopies:
    """Songs and jobs at the server that are forgotten once no song of the batch needs them.

    Songs of the same bytes are one at the server, and one job if they are marked alike, too.
    """

    def __init__(self, client: UgosaClient) -> None:
        self._client = client
        self._lock = threading.Lock()  # also while they are deleted: whoever needs them then sends them anew
        self._users: Counter[str] = Counter()
        self._unwanted: dict[str, dict[str, Callable[[str], None]]] = defaultdict(dict)

    def need(self, sha256: str) -> None:
        """Keep what is there of a song, until `done`."""
        with self._lock:
            self._users[sha256] += 1

    def forget(self, sha256: str, job: Job) -> None:
        """Note that a job, and its song, are to go."""
        with self._lock:
            deletes = {job.job_id: self._client.delete, job.upload_id: self._client.delete_upload}
            self._unwanted[sha256] |= deletes

    def done(self, sha256: str, reporter: Reporter) -> None:
        """End one `need` of a song; the last one deletes what is to go."""
        with self._lock:
            self._users[sha256] -= 1
            unwanted = {} if self._users[sha256] else self._unwanted.pop(sha256, {})
            # Jobs before their song: one that has not ended would hold it.
            for what, delete in sorted(unwanted.items()):
                try:
                    delete(what)
                except NotFoundError:
                    pass  # somebody else has, or a call of ours whose answer was lost
                except UgosaClientError as error:
                    reporter.say(f"the server keeps {what}: {error.message}")


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
        *,
        forget: bool = False,
    ) -> None:
        """Keep what all songs share.

        Without `places` of the players in the videos beside the songs, nothing is seen; with `forget`, the
        server is to forget each song once its stems are here.
        """
        self._forget, self._copies = forget, ServerCopies(client)
        self._stem_files = stem_files
        self._client = client
        self._tree = tree
        self._places = places
        self._options = options
        self._overwrite = overwrite
        ended_without_stems = (JobState.FAILED, JobState.CANCELLED)
        self._done_before = {job.request_id for job in client.list_jobs((JobState.SUCCEEDED,))}
        self._gone_wrong = {job.request_id for job in client.list_jobs(ended_without_stems)}
        self._trying_again = threading.Lock()  # else those that wait could wait for one another
        self._underway: set[str] = set()
        """Songs that may yet make room at the server: sent or followed, and not refused for want of it."""
        self.lacked_room = False
        """Whether a song was refused for want of room at the server."""
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
            following.add_done_callback(lambda _: self._underway.discard(str(song)))
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
        sent = SentSong(song, out_dir, reporter, time.monotonic())
        self._underway.add(str(song))
        try:
            sent, request = self._read(sent)
            if done := done_song(out_dir, sent.request_id, self._stem_files):
                return replace(sent, done=done)
            job = self._job_unless_full(sent, request)
            while job is None:
                self.stop.wait(FULL_WAIT_S)
                sent, request = self._read(sent)
                with self._trying_again:
                    job = self._job_unless_full(sent, request)
            return replace(sent, job=job)
        except BrokenPipeError:  # nobody reads what is shown: that is no fault of a song, and ends the batch
            raise
        except (UgosaClientError, OSError) as error:
            return replace(sent, error=error)

    def follow(self, sent: SentSong) -> SongOutcome:
        """Watch a song's job to its end, fetch its results and return its outcome."""
        if sent.done is not None:
            return SongOutcome(
                song=self._tree.name(sent.song),
                exit_code=ExitCode.OK,
                out_dir=str(sent.out_dir),
                job_id=sent.done.job_id,
                marks=sent.done.marks,
                verdict=sent.done.verdict,
            )
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
                if self._forget:
                    self._note_done(sent, separation)
                    self._copies.forget(sent.sha256, separation.job)
            except BrokenPipeError:
                raise
            except (UgosaClientError, OSError) as caught:
                error = caught
            finally:
                self._copies.done(sent.sha256, sent.reporter)
        return SongOutcome(
            song=self._tree.name(sent.song),
            exit_code=exit_code(error) if error else ExitCode.OK,
            out_dir=str(sent.out_dir),
            job_id=job.job_id if job else "",
            marks=len(job.marks) if job else 0,
            elapsed_s=round(time.monotonic() - sent.start_s, 3),
            computed=job is not None and job.request_id not in self._done_before,
            verdict=verdict.message if verdict else "",
            message=message_of(error) if error else "",
        )

    def _note_done(self, sent: SentSong, separation: Separation) -> None:
        job = separation.job
        verdict = job.verdict.message if job.verdict else ""
        paths, rule = separation.files.paths, self._stem_files
        write_done(paths, sent.request_id, rule, job.job_id, len(job.marks), verdict)

    def _read(self, sent: SentSong) -> tuple[SentSong, SeparationRequest]:
        """Read the song and its marks once, so that the job and its id are of the same."""
        song, marks = FileSong(sent.song), self._tree.marks(sent.song)
        regions = RegionFile.read(marks) if marks else None
        sight = self._tree.sight(sent.song, self._places) if self._places is not None else None
        request_id = batch_request_id(song.sha256, regions, self._options, sight)
        request = SeparationRequest(song, regions or (), self._options, sight=sight)
        return replace(sent, sha256=song.sha256, request_id=request_id), request

    def _job_unless_full(self, sent: SentSong, request: SeparationRequest) -> Job | None:
        """Return the song's job, which is needed; None if the server has no place yet, but is going to.

        It is that of an earlier run, unless that failed, or a new one.
        """
        if self.stop.is_set():
            raise ClosedError("interrupted")
        song, reporter = sent.song, sent.reporter
        request_id, attempt = sent.request_id, 1
        while request_id in self._gone_wrong:
            attempt += 1
            request_id = f"{sent.request_id}-{attempt}"
        others = self._underway - {str(song)}
        self._underway.add(str(song))  # it may take room that others are then refused
        self._copies.need(sent.sha256)
        try:
            return self._client.submit(
                replace(request, request_id=request_id),
                out_dir=sent.out_dir,
                overwrite=self._overwrite,
                stem_files=self._stem_files,
                on_upload=reporter.uploaded,
            )
        except (UgosaClientError, OSError) as error:
            self._copies.done(sent.sha256, reporter)
            if not isinstance(error, ResourceExhaustedError):
                raise
            is_queue = error.reason == "QUEUE_FULL" or error.metadata.get("limit") == "quota_queued_jobs"
            self._underway.discard(str(song))
            others |= self._underway  # those before, for they may have made room since; those that came
            if not is_queue and not (self._forget and others):
                self.lacked_room = True
                raise
            what = "the server's queue" if is_queue else "the room at the server"
            reporter.say(f"{what} is full; waiting")
            return None


def done_song(folder: Path, request_id: str, rule: StemFiles) -> DoneSong | None:
    """Return what a folder says of its song; None if that is not this request, or not all there."""
    try:
        done = DoneSong(**json.loads((folder / DONE_NAME).read_text(encoding="utf-8")))
        is_whole = all((folder / name).stat().st_size == size for name, size in done.sizes_bytes.items())
    except (OSError, ValueError, TypeError):
        return None
    is_same = done.request_id == request_id and done.stem_files == asdict(rule)
    return done if is_whole and is_same else None


def write_done(
    files: Iterable[Path], request_id: str, rule: StemFiles, job_id: str, marks: int, verdict: str
) -> None:
    """Say in the folder of a song's results that it is done."""
    paths = list(files)
    folder = paths[0].parent
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    done = DoneSong(request_id, asdict(rule), sizes, job_id, marks, verdict)
    place = folder / DONE_NAME
    partial = place.with_name(f"{DONE_NAME}.tmp")
    partial.write_text(json.dumps(asdict(done)), encoding="utf-8")
    os.replace(partial, place)


def batch_request_id(
    song_sha256: str, marks: RegionFile | None, options: JobOptions, sight: Sight | None = None
) -> str:
    """Return an id that the same song, marks, options and video always get."""
    digest = hashlib.sha256(bytes.fromhex(song_sha256))
    digest.update(json.dumps(asdict(options), sort_keys=True).encode())
    digest.update(bytes.fromhex(marks.sha256) if marks else hashlib.sha256(b"").digest())
    if sight is not None:
        digest.update(bytes.fromhex(sight.sha256()))
    return "batch-" + digest.hexdigest()[:40]
