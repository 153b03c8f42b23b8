"""Errors that a user can meet, each named after its cause.

Domain code raises these and knows nothing of gRPC; `rpc/error_table.py` maps each class to a status code.
The `reason` is the stable, machine-readable word that clients switch on; `metadata` carries the values that a
client needs to recover (for example `committed_size` after an offset mismatch).
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable
from typing import ClassVar, Self


class UgosaError(Exception):
    """Root of all errors that the server explains to a user."""

    reason: ClassVar[str] = "INTERNAL"
    """Stable word for clients; derived from the class name where the class does not state it."""
    by_reason: ClassVar[dict[str, type[UgosaError]]] = {}

    def __init_subclass__(cls) -> None:
        if "reason" not in vars(cls):
            words = re.findall("[A-Z][a-z0-9]*", cls.__name__.removesuffix("Error"))
            cls.reason = "_".join(words).upper()
        cls.by_reason[cls.reason] = cls

    def __init__(self, message: str, **metadata: str | int | float) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}

    def at(self, place: str) -> Self:
        """Return the same error with the place, such as "item 3", before its message."""
        return type(self)(f"{place}: {self.message}", **self.metadata)


class InvalidInputError(UgosaError):
    """Something in the request can never work as it is."""


class BadMessageError(InvalidInputError):
    """The bytes of a request are no message of its method."""


class BadOptionError(InvalidInputError):
    """An option is unknown or out of its range."""


class BadRegionError(InvalidInputError):
    """A mark is reversed, empty, out of the audio, or contradicts another mark."""


class AllSilentError(BadRegionError):
    """Every source is marked silent over a span in which the mix sounds."""


class UnknownSourceError(InvalidInputError):
    """A mark names a source that the model does not have."""


class UnknownModelError(InvalidInputError):
    """No model of that name is in the registry."""


class CheckpointError(InvalidInputError):
    """A checkpoint or adapter file is unreadable, of the wrong shape, or does not match its hash."""

    reason = "BAD_CHECKPOINT"


class DownloadError(UgosaError):
    """Published weights could not be fetched, or not whole; a second try continues."""

    reason = "DOWNLOAD_FAILED"


class UnsupportedEncodingError(InvalidInputError):
    """The audio is in a container, codec, rate or channel layout that is not accepted."""


class BadAudioError(InvalidInputError):
    """The audio is unreadable, empty, truncated, or holds NaN or infinite samples."""


class BadVideoError(InvalidInputError):
    """A picture or a video is unreadable, or larger than is taken."""


class DecoderCrashedError(BadAudioError):
    """Decoding died or took too long; the bytes received are kept, and `finish` can be sent again."""


class DecoderStoppedError(UgosaError):
    """Decoding was not started, or killed from outside; the bytes received are kept."""


class DecoderFailedError(UgosaError):
    """Our own code failed while it decoded; the bytes received are kept."""


class RequestIdConflictError(InvalidInputError):
    """The request_id was used before with a different request."""


class UnauthenticatedError(UgosaError):
    """The caller has proved no identity; the answer does not depend on what exists."""


class NotFoundError(UgosaError):
    """No upload, job, stem or model of that id; metadata has the id's name as `unknown`."""


class OffsetMismatchError(UgosaError):
    """A chunk does not start where the committed bytes end; metadata has `committed_size`."""


class CrcMismatchError(UgosaError):
    """A chunk's bytes do not have the crc32c that came with them; metadata has `committed_size`."""


class UploadBusyError(UgosaError):
    """Another stream is writing this upload."""


class UploadIdleError(UgosaError):
    """A stream stayed open without sending anything; the bytes received are kept."""


class FailedPreconditionError(UgosaError):
    """The request is right, but not in this state."""


class UploadIncompleteError(FailedPreconditionError):
    """The upload has not been finished yet."""


class UploadDamagedError(FailedPreconditionError):
    """The song's file on the server's disk is gone or changed; the same upload takes it again."""


class UploadInUseError(FailedPreconditionError):
    """The upload is needed by a job that has not ended."""


class JobInUseError(FailedPreconditionError):
    """The job's adapter is needed by a job that has not ended."""


class NoVideoEncoderError(FailedPreconditionError):
    """Pictures came, but the server has no encoder that makes features of them."""


class JobNotFinishedError(FailedPreconditionError):
    """The job has no result (yet)."""


class NotAnalysedError(FailedPreconditionError):
    """The model has not analysed the song yet; Listen makes a job of it."""

    reason = "NOT_HEARD"


class JobStartedError(FailedPreconditionError):
    """Marks can be replaced only until the job starts."""


class RangeError(UgosaError):
    """An offset lies past the end of a file."""

    reason = "OUT_OF_RANGE"


class Sha256MismatchError(UgosaError):
    """The received bytes do not have the sha256 that the client sent."""


class QueueFullError(UgosaError):
    """The bounded queue has no room; try again later."""


class QuotaError(UgosaError):
    """A limit on uploads, watches or bytes is reached."""


class DiskFullError(UgosaError):
    """The state directory has too little free space."""


class StoreDamagedError(UgosaError):
    """The database has bytes that it never wrote."""


class ResultDamagedError(UgosaError):
    """A finished file of a job on the server's disk is gone or has changed; the job can be run again."""


class DrainingError(UgosaError):
    """The server is shutting down and accepts nothing new."""


class WorkerLostError(UgosaError):
    """The worker process died or stopped answering while it ran a job."""


class DeviceMemoryError(UgosaError):
    """The GPU has too little memory, even for the smallest pieces, and the CPU is not allowed."""

    reason = "GPU_MEMORY"


class MemoryBudgetError(UgosaError):
    """The memory that a job may take is too little, even for the smallest pieces."""


class DivergedError(UgosaError):
    """Fine-tuning left the finite numbers, as with a learning rate that is too large."""


class SeparationFailedError(UgosaError):
    """The network returned stems that are no audio: NaN or infinite samples."""

    reason = "NONFINITE_STEMS"


class ConfigError(UgosaError):
    """The server cannot start with this configuration."""


DISK_FULL_MESSAGE = (
    "the disk of the state directory takes nothing more: it is full, or can only be read; delete old jobs or"
    " free some space, then try again"
)


# EROFS: what Linux makes of a disk that fails; EFBIG: beyond the limit on the size of a file.
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


JOB_DAMAGED_MESSAGE = (
    "what the server's database held of this job is damaged; other jobs are not. Delete it, and make it anew"
)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the known word nearest to one that is not; empty if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def reason_of(error: Exception) -> str:
    """Return the words for an error: of the system without its number and its path, else its own."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error of the system means that a disk, or a limit on it, takes nothing more."""
    return isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS
