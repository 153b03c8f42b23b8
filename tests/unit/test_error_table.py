"""Every error has a status, a reason and a sentence."""

import re

import grpc
import pytest

from ugosa_server import errors
from ugosa_server.rpc.error_table import status_of


def descendants(kind):
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


@pytest.mark.parametrize("kind", sorted(descendants(errors.UgosaError), key=lambda kind: kind.__name__))
def test_every_error_is_explained(kind):
    assert kind.__doc__
    assert re.fullmatch(r"[A-Z0-9_]+", kind.reason)
    assert isinstance(status_of(kind("words")), grpc.StatusCode)


def test_reasons_are_distinct_words():
    reasons = [kind.reason for kind in descendants(errors.UgosaError)]
    assert len(set(reasons)) == len(reasons)


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
def test_the_nearest_class_in_the_table_decides(error, code):
    assert status_of(error) is code
