"""A run that is going on: what all its phases read, and how they tell progress, end early and fit memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from ugosa_server.audio.frames import SourceFrames
from ugosa_server.jobs.runs import RunEvent, RunNotice, RunPhase, RunSpec
from ugosa_server.marks import MarkSet
from ugosa_server.pipeline.estimate import Ensemble
from ugosa_server.pipeline.leakage import densest_window
from ugosa_server.pipeline.memory_fallback import MemoryFallback, is_out_of_memory
from ugosa_server.pipeline.plan import effective_strategy, ensemble_notices, plan_phases
from ugosa_server.pipeline.progress import ProgressMeter
from ugosa_server.pipeline.resident import ResidentNetwork, ResidentNetworks
from ugosa_server.report.previews import Excerpt

PREVIEW_S = 20.0

Result = TypeVar("Result")


class RunCancelledError(Exception):
    """Unwinds a run whose cancel was asked for."""


class OngoingRun:
    """One attempt of a job. What a phase finds out it returns; nothing here is a result."""

    def __init__(
        self,
        spec: RunSpec,
        frames: SourceFrames,
        model: ResidentNetwork,
        networks: ResidentNetworks,
        encoders: Executor,
        cancelled: Callable[[], bool],
    ) -> None:
        """Plan the run of a song whose frames are open.

        Args:
            spec: the job, validated.
            frames: the song.
            model: the network, unadapted.
            networks: what is resident in this process.
            encoders: threads for what the report lets one listen to.
            cancelled: asked between steps and between segments.
        """
        self.spec = spec
        """As it is really done; only what memory was too little for differs from what was asked."""
        self.frames, self.model, self.networks = frames, model, networks
        self.config = model.info.config
        self.strategy, notice = effective_strategy(spec)
        self.marks = MarkSet(spec.marks)
        """The musician's."""
        self.ensemble = Ensemble.of(spec, self.config)
        self.out_dir = Path(spec.out_dir)
        self.stem_paths = [
            self.out_dir / f"stem-{i}{spec.stem_encoding.suffix}" for i in range(len(self.ensemble.stems))
        ]
        self.preview_span = densest_window(
            self.marks, spec.source.frames, round(PREVIEW_S * spec.source.sample_rate_hz)
        )
        """What the report lets one listen to."""
        self.encoders = encoders
        self.meter = ProgressMeter(plan_phases(spec, self.strategy, self.config))
        self.notices = [] if notice is None else [notice]
        self.notices += ensemble_notices(spec, self.ensemble, self.config)
        if networks.device != model.device:
            self.notice(
                "GPU_MEMORY",
                "the GPU's memory is too little for the model: it computes on the CPU, which takes longer",
            )
        self._cancelled = cancelled
        self._fallback = MemoryFallback(spec, model, cpu_allowed=networks.settings.cpu_fallback)

    @property
    def encodes_at_once(self) -> bool:
        """Whether excerpts are encoded while the network computes; on a CPU that would be in its way."""
        return self.model.on_gpu and not self.spec.listens_only

    def excerpt(self) -> Excerpt:
        """Begin the run's excerpt of a pass over the song."""
        return Excerpt(
            self.preview_span,
            self.spec.source.sample_rate_hz,
            self.encoders,
            at_once=self.encodes_at_once,
        )

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
