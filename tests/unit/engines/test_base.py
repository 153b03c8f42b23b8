"""The end of a run after an unexpected error."""

import errno
import os

import pytest

from ugosa_server.engines.base import failure_of


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_unexpected_error_is_internal_unless_the_disk_is_full(number):
    full = failure_of(OSError(number, os.strerror(number)))
    assert full.reason == "DISK_FULL"
    assert "free some space" in full.message
    other = failure_of(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/var/lib/ugosa/jobs"))
    assert other.reason == "INTERNAL"
    assert other.message == "internal error (FileNotFoundError); the server's log has the details"


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/var/lib/ugosa/jobs"), "open files"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "processes"),
        (MemoryError("Unable to allocate 8.00 GiB for an array with shape (1,)"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "memory"),
    ],
)
def test_what_the_machine_lacks_is_told_in_plain_words(error, lacking):
    failure = failure_of(error)
    assert failure.reason == "MACHINE_FAULT"
    assert failure.message == f"this machine ran short of {lacking}; the server's log has the details"
