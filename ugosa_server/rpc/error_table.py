"""The gRPC status of each error. Domain errors and gRPC meet only here."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

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


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: errors.UgosaError) -> NoReturn:
    """End the call with the error's status, message and ErrorInfo (reason, domain, metadata)."""
    code = status_of(error)
    message = shortened(error.message, MAX_MESSAGE_BYTES)
    metadata = {name: shortened(value, MAX_VALUE_BYTES) for name, value in error.metadata.items()}
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata))
    status = rpc_status.to_status(Status(code=code.value[0], message=message, details=[detail]))
    await context.abort(code, message, status.trailing_metadata)
    raise AssertionError("context.abort raises")


def shortened(text: str, max_bytes: int) -> str:
    """Cut the middle out of a text that takes more bytes of UTF-8."""
    data = text.encode(errors="replace")
    if len(data) <= max_bytes:
        return text
    half = max_bytes // 2 - 3
    return f"{data[:half].decode(errors='ignore')} ... {data[-half:].decode(errors='ignore')}"


async def end_call(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> NoReturn:
    """End the call with the status of an error; one that is no UgosaError is logged, and INTERNAL."""
    if isinstance(error, grpc.aio.AbortError):  # the call has its status
        raise error
    if not isinstance(error, errors.UgosaError):
        log.error("%s failed", method, exc_info=error)
        error = errors.UgosaError(
            f"internal error ({type(error).__name__}); the server's log has the details"
        )
    await abort(context, error)
