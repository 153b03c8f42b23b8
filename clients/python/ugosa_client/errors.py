"""Errors of the client, named after what went wrong for the user.

The server explains each refusal with a gRPC status and a `google.rpc.ErrorInfo` whose `reason` is a stable
word; `error_from_rpc` turns both into one of these classes. The text is the server's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

if TYPE_CHECKING:
    from ugosa_client.resources import Job

ERROR_DOMAIN = "ugosa"


class UgosaClientError(Exception):
    """Root of all errors of this package."""

    def __init__(self, message: str, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        """Stable word of the server, for example "BAD_REGION"; empty if it was not involved."""
        self.metadata: dict[str, str] = dict(metadata or {})
        """Values that came with the reason, for example `committed_size`."""


class ServerUnavailableError(UgosaClientError):
    """No server answers at the address, or it stopped answering."""


class ServerBusyError(ServerUnavailableError):
    """The server answers, but is shutting down or replacing its worker; try again soon."""


class PermissionDeniedError(UgosaClientError):
    """The server does not permit this to this client."""


class BadInputError(UgosaClientError):
    """Something in the request can never work as it is."""


class BadOptionError(BadInputError):
    """An option is unknown or out of its range."""


class BadRegionError(BadInputError):
    """A mark is reversed, empty, outside the audio or contradicted, or all sources are silent."""


class UnknownSourceError(BadInputError):
    """A mark names a source that the model does not have."""


class UnknownModelError(BadInputError):
    """The server has no model of that name."""


class BadAudioError(BadInputError):
    """The audio is unreadable, empty, or of a kind that is not accepted."""


class BadVideoError(BadInputError):
    """A picture or a video of the players is unreadable or too large."""


class RequestIdConflictError(BadInputError):
    """The request_id was used before with a different request."""


class MarksFileError(BadInputError):
    """A marks file cannot be understood; the message names the file, the line and the way out."""


class OutputExistsError(BadInputError):
    """The output directory holds files of the same names that are not results of this tool."""


class OutputError(BadInputError):
    """The output directory cannot be written: no room, or no permission."""


class NotFoundError(UgosaClientError):
    """No upload, job, stem or model of that id."""


class WrongStateError(UgosaClientError):
    """The request is right, but the job or the upload is not in the state for it."""


class JobNotFinishedError(WrongStateError):
    """The job has no result (yet)."""


class JobStartedError(WrongStateError):
    """Marks can be replaced only until the job starts."""


class UploadDamagedError(WrongStateError):
    """The song has decayed on the server's disk; sending it once more mends that."""


class ResourceExhaustedError(UgosaClientError):
    """The queue, a quota or the disk of the server is full."""


class TransferInterruptedError(UgosaClientError):
    """A transfer was refused in the middle and can go on from the bytes that are durable."""


class IntegrityError(UgosaClientError):
    """Bytes do not have the checksum that they should have."""


class JobFailedError(UgosaClientError):
    """A job ended without stems; `job` is that job."""

    def __init__(self, job: Job) -> None:
        failure = job.failure
        text = failure.message if failure else "the server gave no reason"
        super().__init__(f"job {job.job_id} failed: {text}", failure.reason if failure else "")
        self.job = job


class JobCancelledError(UgosaClientError):
    """A job was cancelled before it had stems."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.job_id} was cancelled", "CANCELLED")
        self.job = job


class ServerError(UgosaClientError):
    """The server met a fault of its own, or answered what the protocol does not allow."""


class ClosedError(UgosaClientError):
    """The call was ended because the client was closed."""


def reason_of(error: Exception) -> str:
    """Return the system's words for an error, without its number and its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "it failed"


def sentence_of(error: OSError) -> str:
    """Return an error of the system as a sentence for people: which file, and why."""
    if error.filename is None:
        return reason_of(error)
    return f"{os.fsdecode(error.filename)}: {reason_of(error)}"


def message_of(error: UgosaClientError | OSError) -> str:
    """Return an error as a sentence for people."""
    return error.message if isinstance(error, UgosaClientError) else sentence_of(error)


_BY_REASON: dict[str, type[UgosaClientError]] = {
    "BAD_OPTION": BadOptionError,
    "BAD_REGION": BadRegionError,
    "ALL_SILENT": BadRegionError,
    "UNKNOWN_SOURCE": UnknownSourceError,
    "UNKNOWN_MODEL": UnknownModelError,
    "UNSUPPORTED_ENCODING": BadAudioError,
    "BAD_AUDIO": BadAudioError,
    "DECODER_CRASHED": BadAudioError,
    "BAD_VIDEO": BadVideoError,
    "REQUEST_ID_CONFLICT": RequestIdConflictError,
    "JOB_NOT_FINISHED": JobNotFinishedError,
    "JOB_STARTED": JobStartedError,
    "SHA256_MISMATCH": IntegrityError,
    "UPLOAD_DAMAGED": UploadDamagedError,
    "STORE_DAMAGED": ServerError,
    "RESULT_DAMAGED": ServerError,
    "DECODER_FAILED": ServerError,
    "DECODER_STOPPED": ServerBusyError,
    "DRAINING": ServerBusyError,
}

_BY_STATUS: dict[grpc.StatusCode, type[UgosaClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: BadInputError,
    grpc.StatusCode.OUT_OF_RANGE: BadInputError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: WrongStateError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.ABORTED: TransferInterruptedError,
    grpc.StatusCode.DATA_LOSS: IntegrityError,
    grpc.StatusCode.UNAVAILABLE: ServerUnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: ServerUnavailableError,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDeniedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.CANCELLED: ClosedError,
}


TLS_TROUBLES = {
    "Hostname Verification": "its certificate is of another name; call the server by the name in it",
    "CERTIFICATE_VERIFY_FAILED": (
        "nobody vouches for its certificate; name the PEM file of who issued it with --ca or UGOSA_CA"
    ),
    "WRONG_VERSION_NUMBER": "it speaks no TLS; leave out --ca and UGOSA_CA",
    "security handshaker": "the file of --ca, --cert or --key is not the PEM file that it should be",
}
"""Causes of failed connections by words in gRPC's details."""


def error_info(error: grpc.RpcError) -> ErrorInfo | None:
    """Return the server's ErrorInfo of domain "ugosa", if the error carries one."""
    try:
        status = rpc_status.from_call(cast(grpc.Call, error))
    except ValueError:  # details that contradict the status line: some proxy in between made them up
        return None
    for detail in status.details if status is not None else ():
        info = ErrorInfo()
        if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == ERROR_DOMAIN:
            return info
    return None


def error_from_rpc(error: grpc.RpcError, target: str) -> UgosaClientError:
    """Return an RPC error as the matching class of this package."""
    code, details = error.code(), error.details() or ""
    info = error_info(error)
    if info is not None:
        kind = _BY_REASON.get(info.reason) or _BY_STATUS.get(code, ServerError)
        return kind(details, info.reason, info.metadata)
    if code is grpc.StatusCode.UNAVAILABLE:
        for sign, trouble in TLS_TROUBLES.items():
            if sign in details:
                return ServerUnavailableError(f"no secure connection to {target}: {trouble} ({details})")
        why = details.rpartition("error: ")[2]
        if "Socket closed" in details and not target.startswith("unix:"):
            return ServerUnavailableError(
                f"no UGOSA server answers at {target} ({why}); it may speak TLS: give --ca or UGOSA_CA, the "
                "PEM file of who issued its certificate, and --cert and --key where it asks for yours"
            )
        return ServerUnavailableError(
            f"no UGOSA server answers at {target} ({why}); "
            "start one with `ugosa-server serve`, or give its address with --server or UGOSA_SERVER"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServerUnavailableError(f"the server at {target} did not answer in time; is it overloaded?")
    kind = _BY_STATUS.get(code, ServerError)
    return kind(details or f"the server at {target} answered {code.name} without an explanation")
