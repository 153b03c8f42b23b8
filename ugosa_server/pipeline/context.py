"""The read-only context of one attempt of a job, which every phase takes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ugosa_server.adaptation import Strategy
from ugosa_server.audio import SourceFrames
from ugosa_server.engines.base import Wish
from ugosa_server.jobs import JobOptions, RunEvent, RunProgress, RunSpec
from ugosa_server.marks import Interval, MarkSet
from ugosa_server.models import NetworkConfig
from ugosa_server.pipeline.plan import (
    Ensemble,
    effective_strategy,
    ensemble_notices,
    excerpt_span,
    plan_phases,
)
from ugosa_server.pipeline.progress import RunJournal
from ugosa_server.pipeline.resident import ResidentNetwork, ResidentNetworks
from ugosa_server.separation.calibration import MaskCalibration

Result = TypeVar("Result")


class RunCancelledError(Exception):
    """Unwinds a run that was asked to end."""


@dataclass(frozen=True)
class RunContext:
    """One attempt of a job: read-only for its phases, which return their results.

    Other options (smaller pieces, features of the players) are another context.
    """

    spec: RunSpec
    """The job as it is run: as asked for, but in smaller pieces where memory was too little."""
    asked: JobOptions
    """The options as asked for."""
    frames: SourceFrames
    model: ResidentNetwork
    networks: ResidentNetworks
    """The networks and settings of this process."""
    strategy: Strategy
    marks: MarkSet
    ensemble: Ensemble
    """The stems and the sources that play."""
    excerpt: Interval
    """Frames of the report's excerpt; none of them if the job wants none."""
    journal: RunJournal
    is_asked: Callable[[Wish], bool]
    """Says, between steps and between segments, what has been wished of the run."""
    calibration: MaskCalibration | None = None
    """Calibration of the masks that was learned from the song."""

    @classmethod
    def of(
        cls,
        spec: RunSpec,
        frames: SourceFrames,
        model: ResidentNetwork,
        networks: ResidentNetworks,
        is_asked: Callable[[Wish], bool],
    ) -> RunContext:
        """Plan a run of a validated job; its first notices are in the journal."""
        config = model.info.config
        strategy, notice = effective_strategy(spec)
        marks = MarkSet(spec.marks)
        ensemble = Ensemble.of(spec, config)
        plan = plan_phases(spec, strategy, ensemble, config, networks.threads)
        journal = RunJournal(plan, budget_s=spec.options.adaptation.max_s)
        journal.notices += [] if notice is None else [notice]
        journal.notices += ensemble_notices(spec, ensemble, config)
        if networks.device != model.device:
            journal.notice(
                "GPU_MEMORY",
                "the GPU's memory is too little for the model: it computes on the CPU, which takes longer",
            )
        return cls(
            spec=spec,
            asked=spec.options,
            frames=frames,
            model=model,
            networks=networks,
            strategy=strategy,
            marks=marks,
            ensemble=ensemble,
            excerpt=excerpt_span(spec, ensemble, strategy),
            journal=journal,
            is_asked=is_asked,
        )

    @property
    def config(self) -> NetworkConfig:
        """Sizes of the network."""
        return self.model.info.config

    @property
    def out_dir(self) -> Path:
        """Folder of the attempt's files."""
        return Path(self.spec.out_dir)

    @property
    def memory_budget_bytes(self) -> int:
        """Memory that the process may hold during the run; 0 = all that there is."""
        if self.model.on_gpu:
            return 0
        budgets = (self.networks.settings.memory_bytes, self.spec.options.max_memory_bytes)
        return min(filter(None, budgets), default=0)

    def with_options(self, **changes: Any) -> RunContext:
        """Return the context of the same run with some options changed."""
        return replace(self, spec=replace(self.spec, options=replace(self.spec.options, **changes)))

    def follow(
        self,
        work: Generator[int, None, Result],
        advance: Callable[[int], list[RunProgress]] | None = None,
    ) -> Generator[RunEvent, None, Result]:
        """Drive work that yields the number of its steps done; return its result.

        `advance` notes them; None = as those of the phase.
        """
        advance = advance or self.journal.advance
        while True:
            self.check_cancel()
            try:
                step = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield from advance(step)

    def check_cancel(self) -> None:
        """Unwind the run if it was asked to end.

        Raises:
            RunCancelledError: it was.
        """
        if self.is_asked(Wish.CANCEL):
            raise RunCancelledError
