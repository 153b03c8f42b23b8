"""Progress of a run and its time left, from planned work and measured speeds; its notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ugosa_server.adaptation import LossTerms
from ugosa_server.failpoints import reach
from ugosa_server.jobs import RunNotice, RunPhase, RunProgress

MIN_INTERVAL_S = 0.25  # between progress events, except at the ends of phases and epochs
SAME_WORK = {RunPhase.SEPARATION: RunPhase.BASE_SEPARATION}  # its speed holds until there is an own one
BUDGET_MARGIN = 0.05  # of a budget, for the last step and the guard's last look
TYPICAL_S_PER_COST = 0.03  # of `starter` on a core of 3 GHz; holds until the network itself is measured


@dataclass(frozen=True)
class PhasePlan:
    """A phase of a run; its work is that of the network, or has a known speed."""

    phase: RunPhase
    cost: float = 0.0
    """Expected work of the network: seconds of audio that it would process in that time."""
    other_s: float = 0.0
    """Expected seconds of all other work."""
    lead_cost: float = 0.0
    """Expected work of the network before its first step, which the time of the phase before has in it."""
    warms_up: bool = False
    """Whether the first step takes much longer than others, and says nothing about their speed."""


@dataclass
class _PhaseRecord:
    """A phase as far as the run has come with it."""

    plan: PhasePlan
    steps: int = 1  # until the phase begins
    done: int = 0
    """Steps done."""
    begun_s: float | None = None
    """None = it has not begun."""
    measured_from: tuple[int, float] = (0, 0.0)
    """Step and time from which on its speed is measured."""
    measured_s: float = 0.0
    """Time since then."""

    @property
    def measured_cost(self) -> float:
        """Work of the network since then."""
        return self.plan.cost * (self.done - self.measured_from[0]) / self.steps


class RunJournal:
    """Append-only record of a run: progress events whose fraction never falls, notices, timings."""

    def __init__(
        self, plan: Sequence[PhasePlan], now_s: Callable[[], float] = time.monotonic, budget_s: float = 0.0
    ) -> None:
        """Begin before the first phase of `plan`, which lists the phases in order; 0 s = no budget."""
        self._begun_s, self._budget_s = now_s(), budget_s
        self.timings_s: dict[str, float] = {}
        """Wall time of the phases so far, by name."""
        self.notices: list[RunNotice] = []
        """Notices so far."""
        self._now_s = now_s
        self._phases = {planned.phase: _PhaseRecord(planned) for planned in plan}
        self._current = self._phases[plan[0].phase]
        self._lead_share = 0.0  # that is done of the work before the next phase
        self._fraction = 0.0
        self._last_event_s = float("-inf")

    def notice(self, reason: str, message: str, *, warning: bool = True) -> RunNotice:
        """Record a notice and return it."""
        notice = RunNotice(reason, message, warning)
        self.notices.append(notice)
        return notice

    def begin(self, phase: RunPhase, steps: int) -> RunProgress:
        """Enter a phase of `steps` steps, at least 1; the one before counts as done.

        A phase that is entered once more begins again, and the fraction waits until it has caught up.
        """
        if phase is not self._current.plan.phase:
            self.end()
        reach(f"phase.{phase.value}.begun")
        self._current = current = self._phases[phase]
        current.steps, current.begun_s = steps, self._now_s()
        self._lead_share = 0.0
        self.skip(0)
        return self._event()

    def end(self) -> None:
        """Leave the phase."""
        if self._current.begun_s is not None:
            self._measure()
            self._current.done = self._current.steps

    def skip(self, step: int) -> None:
        """Note that an earlier attempt did the first `step` steps, so that they took no time."""
        self._current.done = step
        self._current.measured_from = step, self._now_s()

    def advance(
        self,
        step: int,
        *,
        epoch: int = 0,
        epochs: int = 0,
        loss: LossTerms | None = None,
        held_back_db: float | None = None,
        ends_epoch: bool = False,
    ) -> list[RunProgress]:
        """Note that `step` steps are done; return an event, or none just after another."""
        current = self._current
        reach(f"phase.{current.plan.phase.value}.step")
        before, current.done = current.done, min(max(step, current.done), current.steps)
        if current.plan.warms_up and before == 0:
            current.measured_from = step, self._now_s()
        self._measure()
        if not (self._is_due() or ends_epoch or before < step == current.steps):
            return []
        return [replace(self._event(), epoch=epoch, epochs=epochs, loss=loss, held_back_db=held_back_db)]

    def advance_lead(self, step: int, steps: int) -> list[RunProgress]:
        """Note that `step` of `steps` steps before the next phase are done, as `advance` does.

        This phase makes no more steps of its own.
        """
        self._current.steps = self._current.done = max(1, self._current.done)
        self._lead_share = step / steps
        self._measure()
        return [self._event()] if self._is_due() else []

    def is_budget_spent(self, spared_cost: float = 0.0) -> bool:
        """Return whether the phases after this one need all that is left of the budget.

        Args:
            spared_cost: work of the network in them that can be left out.
        """
        if not self._budget_s:
            return False
        s_per_cost = self._measured_s_per_cost()
        expected_s = self._expected_s(s_per_cost)
        phases = list(expected_s)
        after_s = sum(expected_s[phase] for phase in phases[phases.index(self._current.plan.phase) + 1 :])
        after_s -= spared_cost * s_per_cost.get(RunPhase.BASE_SEPARATION, TYPICAL_S_PER_COST)
        return self._left_s() <= after_s + BUDGET_MARGIN * self._budget_s

    def _is_due(self) -> bool:
        return self._now_s() - self._last_event_s >= MIN_INTERVAL_S

    def _left_s(self) -> float:
        return max(0.0, self._begun_s + self._budget_s - self._now_s())

    def _measure(self) -> None:
        current = self._current
        assert current.begun_s is not None
        self.timings_s[current.plan.phase.value] = self._now_s() - current.begun_s
        current.measured_s = self._now_s() - current.measured_from[1]

    def _event(self) -> RunProgress:
        self._last_event_s = self._now_s()
        s_per_cost = self._measured_s_per_cost()
        expected_s = self._expected_s(s_per_cost)
        done_s = sum(expected_s[phase] * record.done / record.steps for phase, record in self._phases.items())
        total_s = sum(expected_s.values())
        self._fraction = max(self._fraction, min(1.0, done_s / total_s))
        eta_s = total_s - done_s if s_per_cost else None
        phase = self._current.plan.phase
        if eta_s is not None and self._budget_s and phase is RunPhase.ADAPTATION:
            eta_s = min(eta_s, self._left_s())
        return RunProgress(phase, self._fraction, eta_s, self._current.done, self._current.steps)

    def _measured_s_per_cost(self) -> dict[RunPhase, float]:
        """Speed of the network in each phase that has made steps."""
        return {
            phase: record.measured_s / record.measured_cost
            for phase, record in self._phases.items()
            if record.measured_cost > 0
        }

    def _expected_s(self, s_per_cost: dict[RunPhase, float]) -> dict[RunPhase, float]:
        """Seconds of every phase at its own measured speed, or at that of the network on the whole."""
        overall = TYPICAL_S_PER_COST
        if s_per_cost:
            measured = [self._phases[phase] for phase in s_per_cost]
            cost = sum(record.measured_cost for record in measured)
            overall = sum(record.measured_s for record in measured) / cost
        seconds = {}
        for phase, record in self._phases.items():
            like = phase if phase in s_per_cost else SAME_WORK.get(phase, phase)
            lead = record.plan.lead_cost * (1 - self._lead_share) if record.begun_s is None else 0.0
            work = (record.plan.cost + lead) * s_per_cost.get(like, overall)
            seconds[phase] = work + record.plan.other_s
        return seconds
