"""A run whose events are put into a queue as they arrive: what the runs of all engines have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ugosa_server.engine.base import (
    Run,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunNotice,
    RunProgress,
    RunSpec,
    RunSucceeded,
)
from ugosa_server.errors import WorkerLostError


class QueuedRun(Run):
    """One attempt of a job; who follows its worker puts what it says, and `cancel` is the engine's own."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.cancel_requested = asyncio.Event()
        self.ended = asyncio.Event()
        self._queue: asyncio.Queue[RunEvent | WorkerLostError] = asyncio.Queue()

    def put(self, event: RunEvent | WorkerLostError) -> None:
        """Hand an event to whoever iterates over `events`; what comes after the last one is dropped."""
        if self.ended.is_set():
            return
        if isinstance(event, WorkerLostError) and self.cancel_requested.is_set():
            event = RunCancelled()
        self._queue.put_nowait(event)
        if not isinstance(event, RunProgress | RunNotice):
            self.ended.set()

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """See Run.events."""
        while True:
            event = await self._queue.get()
            if isinstance(event, WorkerLostError):
                raise event
            yield event
            if isinstance(event, RunSucceeded | RunFailed | RunCancelled):
                return
