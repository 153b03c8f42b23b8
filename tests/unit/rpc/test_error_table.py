"""Every error has a status, a reason and a sentence."""

import re

import grpc
import pytest

from ugosa_server import errors
from ugosa_server.rpc.error_table import status_of

# Part of the protocol: a word that changes or goes breaks clients.
REASONS = {
    "AllSilentError": "ALL_SILENT",
    "BadAudioError": "BAD_AUDIO",
    "BadMessageError": "BAD_MESSAGE",
    "BadOptionError": "BAD_OPTION",
    "BadRegionError": "BAD_REGION",
    "BadVideoError": "BAD_VIDEO",
    "CheckpointError": "BAD_CHECKPOINT",
    "ConfigError": "CONFIG",
    "CrcMismatchError": "CRC_MISMATCH",
    "DecoderCrashedError": "DECODER_CRASHED",
    "DecoderFailedError": "DECODER_FAILED",
    "DecoderStoppedError": "DECODER_STOPPED",
    "DeviceMemoryError": "GPU_MEMORY",
    "DiskFullError": "DISK_FULL",
    "DivergedError": "DIVERGED",
    "DownloadError": "DOWNLOAD_FAILED",
    "DrainingError": "DRAINING",
    "FailedPreconditionError": "FAILED_PRECONDITION",
    "InvalidInputError": "INVALID_INPUT",
    "JobInUseError": "JOB_IN_USE",
    "JobNotFinishedError": "JOB_NOT_FINISHED",
    "JobStartedError": "JOB_STARTED",
    "NoVideoEncoderError": "NO_VIDEO_ENCODER",
    "MemoryBudgetError": "MEMORY_BUDGET",
    "NotAnalysedError": "NOT_HEARD",
    "NotFoundError": "NOT_FOUND",
    "OffsetMismatchError": "OFFSET_MISMATCH",
    "QueueFullError": "QUEUE_FULL",
    "QuotaError": "QUOTA",
    "RangeError": "OUT_OF_RANGE",
    "ResultDamagedError": "RESULT_DAMAGED",
    "RequestIdConflictError": "REQUEST_ID_CONFLICT",
    "SeparationFailedError": "NONFINITE_STEMS",
    "Sha256MismatchError": "SHA256_MISMATCH",
    "UnauthenticatedError": "UNAUTHENTICATED",
    "UnknownModelError": "UNKNOWN_MODEL",
    "UnknownSourceError": "UNKNOWN_SOURCE",
    "UnsupportedEncodingError": "UNSUPPORTED_ENCODING",
    "UploadBusyError": "UPLOAD_BUSY",
    "UploadIdleError": "UPLOAD_IDLE",
    "UploadInUseError": "UPLOAD_IN_USE",
    "StoreDamagedError": "STORE_DAMAGED",
    "UploadDamagedError": "UPLOAD_DAMAGED",
    "UploadIncompleteError": "UPLOAD_INCOMPLETE",
    "WorkerLostError": "WORKER_LOST",
}


def descendants(kind):
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:  # the others never cross the wire
            yield child
            yield from descendants(child)


@pytest.mark.parametrize("kind", sorted(descendants(errors.UgosaError), key=lambda kind: kind.__name__))
def test_error_has_a_sentence_a_word_and_a_status(kind):
    assert kind.__doc__
    assert re.fullmatch(r"[A-Z0-9_]+", kind.reason)
    assert isinstance(status_of(kind("words")), grpc.StatusCode)


def test_reasons_stay_as_clients_know_them():
    reasons = {kind.__name__: kind.reason for kind in descendants(errors.UgosaError)}
    assert reasons == REASONS
    assert len(set(reasons.values())) == len(reasons)


def test_error_at_a_place_keeps_class_and_metadata():
    error = errors.OffsetMismatchError("a gap", committed_size=7).at("item 3")
    assert type(error) is errors.OffsetMismatchError
    assert str(error) == error.message == "item 3: a gap"
    assert error.metadata == {"committed_size": "7"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadRegionError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.AllSilentError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.OffsetMismatchError("x"), grpc.StatusCode.ABORTED),
        (errors.UploadIncompleteError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Sha256MismatchError("x"), grpc.StatusCode.DATA_LOSS),
        (errors.QueueFullError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.DrainingError("x"), grpc.StatusCode.UNAVAILABLE),
        (errors.NotFoundError("x"), grpc.StatusCode.NOT_FOUND),
        (errors.UgosaError("x"), grpc.StatusCode.INTERNAL),
    ],
)
def test_nearest_class_in_the_table_decides_the_status(error, code):
    assert status_of(error) is code
