"""How far a run is, by planned costs, and how long it still takes, by measured times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ugosa_server.adaptation.objective import LossTerms
from ugosa_server.failpoints import reach
from ugosa_server.jobs.runs import RunPhase, RunProgress

MIN_INTERVAL_S = 0.25  # between progress events, except at the ends of phases and epochs
NETWORK_PHASES = (RunPhase.BASE_SEPARATION, RunPhase.ADAPTATION, RunPhase.SEPARATION)
SAME_WORK = {RunPhase.SEPARATION: RunPhase.BASE_SEPARATION}  # its measure serves until there is an own one


@dataclass(frozen=True)
class PhasePlan:
    """A phase that the run will go through."""

    phase: RunPhase
    """Which."""
    steps: int
    """How many steps it has, at least 1."""
    cost: float
    """Expected work, in any unit that is the same for all phases; above 0."""


class ProgressMeter:
    """Turns steps done into RunProgress events whose fraction never falls."""

    def __init__(self, plan: Sequence[PhasePlan], now_s: Callable[[], float] = time.monotonic) -> None:
        self._plan = {phase.phase: phase for phase in plan}
        self._now_s = now_s
        self._steps_done = dict.fromkeys(self._plan, 0)
        self._steps_skipped = dict.fromkeys(self._plan, 0)
        self._started_s: dict[RunPhase, float] = {}
        self.timings_s: dict[str, float] = {}
        self._phase = plan[0].phase
        self._fraction = 0.0
        self._last_event_s = float("-inf")

    def begin(self, phase: RunPhase, steps: int | None = None) -> RunProgress:
        """Enter a phase, of other `steps` than planned perhaps; the one before counts as done.

        A phase that is entered once more begins again, and the fraction waits until it has caught up.
        """
        if phase is not self._phase:
            self.end()
        reach(f"phase.{phase.value}.begun")
        self._phase = phase
        self._steps_done[phase] = self._steps_skipped[phase] = 0
        if steps is not None:
            self._plan[phase] = replace(self._plan[phase], steps=steps)
        self._started_s[phase] = self._now_s()
        return self._event()

    def end(self) -> None:
        """Leave the phase."""
        if self._phase in self._started_s:
            self._measure()
            self._steps_done[self._phase] = self._plan[self._phase].steps

    def skip(self, step: int) -> None:
        """Note that the first `step` steps of the phase were done by an earlier attempt and took no time."""
        self._steps_done[self._phase] = self._steps_skipped[self._phase] = step

    def advance(
        self,
        step: int,
        *,
        epoch: int = 0,
        epochs: int = 0,
        loss: LossTerms | None = None,
        ends_epoch: bool = False,
    ) -> RunProgress | None:
        """Note that `step` steps of the phase are done; give an event unless the last one was just before."""
        reach(f"phase.{self._phase.value}.step")
        phase_steps = self._plan[self._phase].steps
        self._steps_done[self._phase] = min(max(step, self._steps_done[self._phase]), phase_steps)
        self._measure()
        is_due = self._now_s() - self._last_event_s >= MIN_INTERVAL_S
        if not (is_due or ends_epoch or step == phase_steps):
            return None
        return self._event(epoch, epochs, loss)

    def _measure(self) -> None:
        self.timings_s[self._phase.value] = self._now_s() - self._started_s[self._phase]

    def _event(self, epoch: int = 0, epochs: int = 0, loss: LossTerms | None = None) -> RunProgress:
        self._last_event_s = self._now_s()
        total = sum(plan.cost for plan in self._plan.values())
        self._fraction = max(
            self._fraction, min(1.0, sum(self._cost_done(phase) for phase in self._plan) / total)
        )
        step, steps = self._steps_done[self._phase], self._plan[self._phase].steps
        return RunProgress(self._phase, self._fraction, self._eta_s(), step, steps, epoch, epochs, loss)

    def _cost_done(self, phase: RunPhase) -> float:
        plan = self._plan[phase]
        return plan.cost * self._steps_done[phase] / plan.steps

    def _cost_measured(self, phase: RunPhase) -> float:
        plan = self._plan[phase]
        return plan.cost * (self._steps_done[phase] - self._steps_skipped[phase]) / plan.steps

    def _eta_s(self) -> float | None:
        """Work left of every phase, at the measured speed of that phase or of the network on the whole."""
        costs = {p: self._cost_measured(p) for p in NETWORK_PHASES if p in self._plan}
        measured = [p for p, cost in costs.items() if cost > 0]
        if not measured:
            return None
        seconds_per_cost = {p: self.timings_s[p.value] / costs[p] for p in measured}
        on_the_whole = sum(self.timings_s[p.value] for p in measured) / sum(costs[p] for p in measured)
        eta_s = 0.0
        for phase, plan in self._plan.items():
            like = phase if phase in seconds_per_cost else SAME_WORK.get(phase, phase)
            eta_s += (plan.cost - self._cost_done(phase)) * seconds_per_cost.get(like, on_the_whole)
        return eta_s
