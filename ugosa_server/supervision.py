"""Tasks that must not end while the server runs: the end of one, for whatever reason, ends the server.

A server that lives on without one of them would look well and do nothing; a new process does better.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

log = logging.getLogger(__name__)


class Supervisor:
    """Watches every task that `keep_running` starts after it was made, in this task and its children."""

    def __init__(self) -> None:
        self.failure = ""
        """Sentence on the first task that ended; empty = all run."""
        self.failed = asyncio.Event()
        """Set with `failure`."""
        _supervisor.set(self)

    def report(self, failure: str) -> None:
        """Note that a task has ended."""
        self.failure = self.failure or failure
        self.failed.set()


_supervisor: ContextVar[Supervisor | None] = ContextVar("supervisor", default=None)


def keep_running(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task that may end only by a cancel; its end is logged and reported to the supervisor."""
    return asyncio.create_task(_kept(work, name, _supervisor.get()), name=name)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _kept(work: Coroutine[Any, Any, None], name: str, supervisor: Supervisor | None) -> None:
    try:
        await work
        failure = f"the background task {name!r} ended"
    except Exception as error:
        log.exception("the background task %r failed", name)
        failure = f"the background task {name!r} failed: {type(error).__name__}: {error}"
    if supervisor is not None:
        supervisor.report(failure)
