"""How a run ends that nobody expected to end."""

import errno
import os

from ugosa_server.engines.base import failure_of


def test_a_full_disk_is_named_and_anything_else_is_internal():
    full = failure_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert full.reason == "DISK_FULL"
    assert "free some space" in full.message
    other = failure_of(ZeroDivisionError("division by zero"))
    assert other.reason == "INTERNAL"
    assert "ZeroDivisionError: division by zero" in other.message
