"""The gRPC status of each error. Domain errors and gRPC meet only here.

A call that has ended must be free at once: gRPC counts its stream until then, and refuses a connection that
has some hundred of them. So nothing may hold it in a cycle until Python collects those: not `context.abort`,
whose exception and call hold each other, and not the frames that an error came through.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from ugosa_server import errors

ERROR_DOMAIN = "ugosa"
# Clients refuse a status of more than 8 KiB. A message stands in it twice: once with up to 3 bytes for each
# of its own, once in base64.
MAX_MESSAGE_BYTES = 1500
MAX_VALUE_BYTES = 100

# The first class in the error's method resolution order that stands here decides.
STATUS_OF_ERROR: dict[type[errors.UgosaError], grpc.StatusCode] = {
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.OffsetMismatchError: grpc.StatusCode.ABORTED,
    errors.CrcMismatchError: grpc.StatusCode.ABORTED,
    errors.UploadBusyError: grpc.StatusCode.ABORTED,
    errors.UploadIdleError: grpc.StatusCode.ABORTED,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RangeError: grpc.StatusCode.OUT_OF_RANGE,
    errors.Sha256MismatchError: grpc.StatusCode.DATA_LOSS,
    errors.QueueFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QuotaError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DiskFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StoreDamagedError: grpc.StatusCode.DATA_LOSS,
    errors.ResultDamagedError: grpc.StatusCode.DATA_LOSS,
    errors.DeviceMemoryError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.MemoryBudgetError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DecoderStoppedError: grpc.StatusCode.UNAVAILABLE,
    errors.DrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.WorkerLostError: grpc.StatusCode.UNAVAILABLE,
    errors.UgosaError: grpc.StatusCode.INTERNAL,
}

log = logging.getLogger(__name__)


def status_of(error: errors.UgosaError) -> grpc.StatusCode:
    """Return the gRPC status code of an error."""
    return next(STATUS_OF_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_OF_ERROR)


def set_status(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> None:
    """Give the call the status of an error; one that is no UgosaError is logged, and INTERNAL.

    The status has the error's message and ErrorInfo (reason, domain, metadata).
    """
    if isinstance(error, errors.UgosaError):
        answer = error
    else:
        log.error("%s failed", method, exc_info=error)
        name = type(error).__name__
        answer = errors.UgosaError(f"internal error ({name}); the server's log has the details")
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = None
    code = status_of(answer)
    message = shortened(answer.message, MAX_MESSAGE_BYTES)
    metadata = {name: shortened(value, MAX_VALUE_BYTES) for name, value in answer.metadata.items()}
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=answer.reason, domain=ERROR_DOMAIN, metadata=metadata))
    status = rpc_status.to_status(Status(code=code.value[0], message=message, details=[detail]))
    context.set_code(code)
    context.set_details(message)
    context.set_trailing_metadata(status.trailing_metadata)


def shortened(text: str, max_bytes: int) -> str:
    """Cut the middle out of a text that takes more bytes of UTF-8."""
    data = text.encode(errors="replace")
    if len(data) <= max_bytes:
        return text
    half = max_bytes // 2 - 3
    return f"{data[:half].decode(errors='ignore')} ... {data[-half:].decode(errors='ignore')}"
