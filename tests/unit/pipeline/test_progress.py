"""Progress never falls, its ETA is measured, and it does not flood."""

import pytest

from ugosa_server.jobs.runs import RunPhase
from ugosa_server.pipeline.progress import PhasePlan, ProgressMeter

PLAN = [
    PhasePlan(RunPhase.PREPARE, steps=2, cost=1),
    PhasePlan(RunPhase.BASE_SEPARATION, steps=4, cost=8),
    PhasePlan(RunPhase.ADAPTATION, steps=10, cost=20),
    PhasePlan(RunPhase.SEPARATION, steps=4, cost=8),
    PhasePlan(RunPhase.REPORT, steps=1, cost=1),
]


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def run_through(clock, step_s=1.0):
    meter = ProgressMeter(PLAN, clock)
    for plan in PLAN:
        yield meter.begin(plan.phase)
        for step in range(1, plan.steps + 1):
            clock.now_s += step_s
            event = meter.advance(step)
            if event is not None:
                yield event


def test_the_fraction_rises_from_0_to_1(clock):
    fractions = [event.fraction for event in run_through(clock)]
    assert fractions[0] == 0.0
    assert fractions[-1] == pytest.approx(1.0)
    assert fractions == sorted(fractions)


def test_there_is_no_eta_before_the_network_was_measured(clock):
    events = list(run_through(clock))
    assert all(event.eta_s is None for event in events if event.phase is RunPhase.PREPARE)
    assert all(event.eta_s is not None for event in events if event.phase is RunPhase.ADAPTATION)
    assert events[-1].eta_s == 0.0


def test_the_eta_takes_separation_to_be_as_fast_as_the_base_separation(clock):
    meter = ProgressMeter(PLAN, clock)
    meter.begin(RunPhase.PREPARE)
    meter.begin(RunPhase.BASE_SEPARATION)
    clock.now_s += 4
    assert meter.advance(4).step == 4  # 0.5 s a unit of cost
    meter.begin(RunPhase.ADAPTATION)
    clock.now_s += 50
    event = meter.advance(5)  # 5 s a unit of cost: 50 s left
    overall = 54 / 18
    assert event.eta_s == pytest.approx(50 + 8 * 0.5 + 1 * overall)


def test_events_come_at_most_four_times_a_second_except_at_ends(clock):
    meter = ProgressMeter([PhasePlan(RunPhase.ADAPTATION, steps=1000, cost=1)], clock)
    meter.begin(RunPhase.ADAPTATION)
    events = []
    for step in range(1, 1001):
        clock.now_s += 0.01
        events.append(meter.advance(step, epoch=1 + (step > 500), epochs=2, ends_epoch=step in (500, 1000)))
    steps = [event.step for event in events if event is not None]
    assert 500 in steps
    assert steps[-1] == 1000
    assert len(steps) <= 42


def test_timings_are_kept_by_phase(clock):
    meter = ProgressMeter(PLAN, clock)
    for plan in PLAN:
        meter.begin(plan.phase)
        clock.now_s += plan.cost
    meter.end()
    assert meter.timings_s == {plan.phase.value: plan.cost for plan in PLAN}
