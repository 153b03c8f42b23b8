"""What the server makes on disk belongs to its user alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def private_umask() -> Iterator[None]:
    """Files, folders and sockets made in the block are for this user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
