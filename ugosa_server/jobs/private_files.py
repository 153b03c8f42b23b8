"""What the server makes on disk belongs to its user alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def private_umask() -> Iterator[None]:
    """Files and sockets made in the block are for this user alone to read and write (not for folders)."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
