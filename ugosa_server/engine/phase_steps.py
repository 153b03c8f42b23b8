"""What all phases of a run share: progress, notices, the user's cancel, and what to do without memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from ugosa_server.engine.base import RunEvent, RunNotice, RunPhase, RunSpec
from ugosa_server.engine.memory_fallback import MemoryFallback, is_out_of_memory
from ugosa_server.engine.progress_meter import ProgressMeter

Result = TypeVar("Result")


class RunCancelledError(Exception):
    """Unwinds a run whose cancel was asked for."""


class PhaseSteps:
    """Steps of phases, as events."""

    def __init__(
        self, spec: RunSpec, meter: ProgressMeter, cancelled: Callable[[], bool], fallback: MemoryFallback
    ) -> None:
        self.spec = spec
        """As it is really done; only what memory was too little for differs from what was asked."""
        self.meter = meter
        self.notices: list[RunNotice] = []
        self._cancelled = cancelled
        self._fallback = fallback

    def fitting(
        self, phase: RunPhase, work: Callable[[], Generator[RunEvent, None, Result]]
    ) -> Generator[RunEvent, None, Result]:
        """Do a phase; where memory is too little, again with less."""
        while True:
            try:
                return (yield from work())
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler: the error holds on to every tensor of the frames that it went through.
            self.spec, message = self._fallback.with_less(self.spec, phase)
            yield self.notice("GPU_MEMORY", message)

    def steps(self, steps: Generator[int, None, Result]) -> Generator[RunEvent, None, Result]:
        """Drive work that yields how many steps it has done; give what it returns."""
        while True:
            self.check_cancel()
            try:
                step = next(steps)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield from self.progress(step)

    def progress(self, step: int) -> Iterator[RunEvent]:
        """Say that `step` steps of the phase are done, unless that was said just before."""
        event = self.meter.advance(step)
        if event is not None:
            yield event

    def notice(self, reason: str, message: str, *, warning: bool = True) -> RunNotice:
        """Make a notice, and keep it for the report."""
        notice = RunNotice(reason, message, warning)
        self.notices.append(notice)
        return notice

    def check_cancel(self) -> None:
        """Unwind the run if it is to end.

        Raises:
            RunCancelledError: it is.
        """
        if self._cancelled():
            raise RunCancelledError
