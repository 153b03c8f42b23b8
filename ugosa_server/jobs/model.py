"""Uploads, jobs and job arrays as the store keeps them, names and ids, and the digests of requests."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from ugosa_server.audio import RawPcm, SourceAudio
from ugosa_server.errors import (
    JOB_DAMAGED_MESSAGE,
    BadOptionError,
    StoreDamagedError,
    UploadDamagedError,
    UploadIncompleteError,
)
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.runs import JobOptions, RunFailed, RunSucceeded, StemFile
from ugosa_server.marks import Mark, MarkSet
from ugosa_server.marks.players import VideoInfo

LOCAL_PRINCIPAL = "local"
"""Principal of whoever reaches the Unix socket, or (unless configured otherwise) a plain loopback port."""

PRINCIPAL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
REQUEST_ID_PATTERN = re.compile(r"[ -~]{1,128}")  # printable ASCII


def new_id(kind: str) -> str:
    """Return a fresh id such as "job-3f9c0a1b52e7d846"; it cannot be guessed."""
    return f"{kind}-{secrets.token_hex(8)}"


def request_digest(*parts: object) -> str:
    """Return a digest of a request's content: equal for equal requests."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def check_request_id(request_id: str) -> str:
    """Return the request_id.

    Raises:
        BadOptionError: it is empty, too long or not printable ASCII.
    """
    if not REQUEST_ID_PATTERN.fullmatch(request_id):
        raise BadOptionError(
            f"request_id {request_id[:140]!r} must be 1 to 128 printable ASCII characters; use a UUID"
        )
    return request_id


def check_principal(name: str) -> str:
    """Return the name.

    Raises:
        BadOptionError: it is empty, too long, or holds other characters than letters, digits and `._@-`.
    """
    if not PRINCIPAL_PATTERN.fullmatch(name):
        raise BadOptionError(
            f"principal {name[:80]!r} must be 1 to 64 letters, digits, dots, dashes, underscores or @,"
            " and begin with a letter or digit"
        )
    return name


@dataclass(frozen=True)
class UploadFormat:
    """Format of an upload's bytes."""

    pcm: RawPcm | None = None
    """Set for raw samples; None for the bytes of an audio file."""
    file_name: str = ""
    """Name of the song for display; never used as a path."""
    is_video: bool = False
    """True for a video of the players, False for a song."""
    is_adapter: bool = False
    """True for an adapter that jobs can start from."""


class UploadState(StrEnum):
    """State of an upload."""

    RECEIVING = "receiving"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Upload:
    """An uploaded song, a video of its players, or an adapter."""

    upload_id: str
    principal: str
    format: UploadFormat
    state: UploadState
    """COMPLETE: jobs can use it."""
    committed_size: int
    """Bytes that are durable."""
    sha256: str
    """Hex, of all bytes; empty until COMPLETE."""
    audio: SourceAudio | None
    """The decoded song; None until COMPLETE, and of a video."""
    create_time_s: float
    """Unix time."""
    video: VideoInfo | None = None
    """Size and encoding of a video; None until COMPLETE, and of a song."""
    stored_bytes: int = 0
    """Bytes on disk that count against the owner's quota."""
    damaged: bool = False
    """True if its format or audio can no longer be read; the same request again makes it anew."""

    def require_whole(self) -> None:
        """Make sure that its row is whole.

        Raises:
            UploadDamagedError: it is not.
        """
        if self.damaged:
            raise UploadDamagedError(
                f"what the server's database held of upload {self.upload_id} is damaged; send the song again"
            )

    def require_complete(self) -> None:
        """Make sure that all its bytes have come.

        Raises:
            UploadDamagedError: its row is not whole.
            UploadIncompleteError: it is still RECEIVING.
        """
        self.require_whole()
        if self.state is not UploadState.COMPLETE:
            raise UploadIncompleteError(
                f"upload {self.upload_id} has {self.committed_size} bytes and is not finished; send the rest"
                " and `finish`",
                committed_size=self.committed_size,
            )

    def require_song(self) -> SourceAudio:
        """Return the decoded song.

        Raises:
            UploadDamagedError, UploadIncompleteError: see `require_complete`.
            BadOptionError: it is a video or an adapter.
        """
        self.require_complete()
        if self.format.is_adapter:
            raise BadOptionError(
                f"upload {self.upload_id} is an adapter, not a song; name it in the option `start_from`"
            )
        if self.audio is None:
            raise BadOptionError(
                f"upload {self.upload_id} is a video of players, not a song; name it in the option `video`"
            )
        return self.audio


@dataclass(frozen=True)
class JobDraft:
    """A job that was checked and can be made."""

    upload: Upload
    """COMPLETE."""
    options: JobOptions
    """Every choice made."""
    marks: tuple[Mark, ...]
    """Validated."""
    ensemble_marks: MarkSet = MarkSet()  # noqa: RUF009
    """The marks, with every source that does not play silent throughout."""
    stems_bytes: int = 0
    """The most that its stems take on disk; counted as stored until the job ends."""
    equal_contents: tuple[str, ...] = ()
    """`content_sha256` of jobs that would do as well; one that may start warm may as well start cold."""
    content_sha256: str = ""
    """Hex, the same for a job of the same song, model file, options and marks; empty = unknown."""


@dataclass(frozen=True)
class Job:
    """A job as it stands."""

    job_id: str
    principal: str
    request_id: str
    """Client-made; a job's request is done once however often it is sent."""
    upload_id: str
    """The song."""
    upload_sha256: str
    """Hex, of the song's bytes as sent."""
    file_name: str
    """Name of the song for display."""
    audio: SourceAudio
    """The decoded song; its path is the upload's."""
    options: JobOptions
    marks: tuple[Mark, ...]
    state: JobState
    attempt: int
    """Runs so far."""
    fraction: float
    """Share done, 0 to 1."""
    last_seq: int
    """Sequence number of the newest event."""
    create_time_s: float
    """Unix time."""
    number: int
    """Counts all jobs in the order in which they were made, with gaps."""
    queue_position: int = 0
    """1 = next to run; 0 when not QUEUED."""
    start_time_s: float | None = None
    """Unix time of the first run's start."""
    end_time_s: float | None = None
    """Unix time of the terminal state."""
    error: RunFailed | None = None
    """Set when FAILED."""
    result: RunSucceeded | None = None
    """Set when SUCCEEDED; without stems once they have been kept long enough."""
    array_id: str = ""
    """Array that made it; empty = none did."""
    base_stems: tuple[StemFile, ...] = ()
    """Stems of the unadapted network, while they are on disk."""
    accepted: bool = False
    """True once it was asked to learn no more."""
    starred: bool = False
    """True if it is kept for ever."""
    damaged: bool = False
    """True if its song, options or marks can no longer be read, so that it cannot be run."""

    def require_whole(self) -> None:
        """Make sure that it can be run.

        Raises:
            StoreDamagedError: it is damaged.
        """
        if self.damaged:
            raise StoreDamagedError(JOB_DAMAGED_MESSAGE)


@dataclass(frozen=True)
class JobArray:
    """Many jobs that were made together."""

    array_id: str
    principal: str
    request_id: str
    """Client-made."""
    job_ids: tuple[str, ...]
    """In the order of the request; without those that were deleted."""
    counts: dict[JobState, int]
    """Number of jobs in each state; states without jobs are left out."""
    last_seq: int
    """array_seq of the newest event."""
    create_time_s: float
    """Unix time."""
