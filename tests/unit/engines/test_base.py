"""The end of a run after an unexpected error."""

import errno
import os

from ugosa_server.engines.base import failure_of


def test_unexpected_error_is_internal_unless_the_disk_is_full():
    full = failure_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert full.reason == "DISK_FULL"
    assert "free some space" in full.message
    other = failure_of(ZeroDivisionError("division by zero"))
    assert other.reason == "INTERNAL"
    assert "ZeroDivisionError: division by zero" in other.message
