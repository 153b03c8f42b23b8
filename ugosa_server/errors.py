"""Every error a user can meet, named after what went wrong for the user.

Domain code raises these and knows nothing of gRPC; `rpc/error_table.py` maps each class to a status code.
The `reason` is the stable, machine-readable word that clients switch on; `metadata` carries the values that a
client needs to recover (for example `committed_size` after an offset mismatch).
"""

from __future__ import annotations

import errno
from typing import ClassVar


class UgosaError(Exception):
    """Root of all errors that the server explains to a user."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **metadata: str | int | float) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}


class InvalidInputError(UgosaError):
    """Something in the request can never work as it is."""

    reason = "INVALID_INPUT"


class BadMessageError(InvalidInputError):
    """The bytes of a request are no message of its method."""

    reason = "BAD_MESSAGE"


class BadOptionError(InvalidInputError):
    """An option is unknown or out of its range."""

    reason = "BAD_OPTION"


class BadRegionError(InvalidInputError):
    """A mark is reversed, empty, out of the audio, or contradicts another mark."""

    reason = "BAD_REGION"


class AllSilentError(BadRegionError):
    """Every source is marked silent over a span in which the mix sounds."""

    reason = "ALL_SILENT"


class UnknownSourceError(InvalidInputError):
    """A mark names a source that the model does not have."""

    reason = "UNKNOWN_SOURCE"


class UnknownModelError(InvalidInputError):
    """No model of that name is in the registry."""

    reason = "UNKNOWN_MODEL"


class CheckpointError(InvalidInputError):
    """A checkpoint or adapter file is unreadable, of the wrong shape, or not what its hash says."""

    reason = "BAD_CHECKPOINT"


class DownloadError(UgosaError):
    """Published weights could not be fetched, or not whole; a second try continues."""

    reason = "DOWNLOAD_FAILED"


class UnsupportedEncodingError(InvalidInputError):
    """The audio is in a container, codec, rate or channel layout that is not accepted."""

    reason = "UNSUPPORTED_ENCODING"


class BadAudioError(InvalidInputError):
    """The audio is unreadable, empty, truncated, or holds NaN or infinite samples."""

    reason = "BAD_AUDIO"


class BadVideoError(InvalidInputError):
    """A picture or a video is unreadable, or larger than is taken."""

    reason = "BAD_VIDEO"


class DecoderCrashedError(BadAudioError):
    """Decoding died or took too long; what was sent is kept, and `finish` can be sent again."""

    reason = "DECODER_CRASHED"


class RequestIdConflictError(InvalidInputError):
    """The request_id was used before with a different request."""

    reason = "REQUEST_ID_CONFLICT"


class UnauthenticatedError(UgosaError):
    """The caller has not proved who they are; says nothing of what exists."""

    reason = "UNAUTHENTICATED"


class NotFoundError(UgosaError):
    """No upload, job, stem or model of that id."""

    reason = "NOT_FOUND"


class OffsetMismatchError(UgosaError):
    """A chunk does not start where the committed bytes end; metadata says `committed_size`."""

    reason = "OFFSET_MISMATCH"


class CrcMismatchError(UgosaError):
    """A chunk's bytes do not have the crc32c that came with them; metadata says `committed_size`."""

    reason = "CRC_MISMATCH"


class UploadBusyError(UgosaError):
    """Another stream is writing this upload."""

    reason = "UPLOAD_BUSY"


class UploadIdleError(UgosaError):
    """A stream stayed open without sending anything; what it has sent is kept."""

    reason = "UPLOAD_IDLE"


class FailedPreconditionError(UgosaError):
    """The request is right, but not in this state."""

    reason = "FAILED_PRECONDITION"


class UploadIncompleteError(FailedPreconditionError):
    """The upload has not been finished yet."""

    reason = "UPLOAD_INCOMPLETE"


class UploadInUseError(FailedPreconditionError):
    """The upload is needed by a job that has not ended."""

    reason = "UPLOAD_IN_USE"


class NoVideoEncoderError(FailedPreconditionError):
    """Pictures came, but the server has no encoder that makes features of them."""

    reason = "NO_VIDEO_ENCODER"


class JobNotFinishedError(FailedPreconditionError):
    """The job has no result (yet)."""

    reason = "JOB_NOT_FINISHED"


class NotHeardError(FailedPreconditionError):
    """The model has not heard the song yet; Listen makes a job of it."""

    reason = "NOT_HEARD"


class JobStartedError(FailedPreconditionError):
    """Marks can be replaced only until the job starts."""

    reason = "JOB_STARTED"


class RangeError(UgosaError):
    """An offset lies past the end of a file."""

    reason = "OUT_OF_RANGE"


class Sha256MismatchError(UgosaError):
    """The received bytes do not have the sha256 that the client says."""

    reason = "SHA256_MISMATCH"


class QueueFullError(UgosaError):
    """The bounded queue has no room; try again later."""

    reason = "QUEUE_FULL"


class QuotaError(UgosaError):
    """A limit on uploads, watches or bytes is reached."""

    reason = "QUOTA"


class DiskFullError(UgosaError):
    """The state directory has too little free space."""

    reason = "DISK_FULL"


class DrainingError(UgosaError):
    """The server is shutting down and accepts nothing new."""

    reason = "DRAINING"


class EngineRestartingError(UgosaError):
    """The worker is being replaced; try again."""

    reason = "ENGINE_RESTARTING"


class WorkerLostError(UgosaError):
    """The worker process died or stopped answering while it ran a job."""

    reason = "WORKER_LOST"


class DeviceMemoryError(UgosaError):
    """The GPU has too little memory, even for the smallest pieces, and the CPU is not allowed."""

    reason = "GPU_MEMORY"


class DivergedError(UgosaError):
    """Fine-tuning left the finite numbers, as with a learning rate that is too large."""

    reason = "DIVERGED"


class SeparationFailedError(UgosaError):
    """The network returned stems that are no audio: NaN or infinite samples."""

    reason = "NONFINITE_STEMS"


class ConfigError(UgosaError):
    """The server cannot start with this configuration."""

    reason = "CONFIG"


DISK_FULL_MESSAGE = (
    "the disk of the state directory is full; delete old jobs or free some space, then try again"
)


def is_disk_full(error: BaseException) -> bool:
    """Return whether the system says that there is no room, or no quota, left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
