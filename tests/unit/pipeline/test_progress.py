"""Progress never falls, its time left is measured, and it does not flood."""

from dataclasses import replace

import pytest

from ugosa_server.jobs.runs import RunPhase
from ugosa_server.pipeline.progress import PhasePlan, RunJournal

PLAN = [
    PhasePlan(RunPhase.PREPARE, other_s=0.1),
    PhasePlan(RunPhase.BASE_SEPARATION, cost=8),
    PhasePlan(RunPhase.ADAPTATION, cost=20),
    PhasePlan(RunPhase.SEPARATION, cost=8),
    PhasePlan(RunPhase.REPORT, other_s=3),
]
STEPS = dict(zip(RunPhase, (2, 4, 10, 4, 1), strict=True))


def begin(journal, phase):
    return journal.begin(phase, STEPS[phase])


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def run_through(clock, step_s=1.0):
    journal = RunJournal(PLAN, clock)
    for plan in PLAN:
        yield begin(journal, plan.phase)
        for step in range(1, STEPS[plan.phase] + 1):
            clock.now_s += step_s
            yield from journal.advance(step)


@pytest.mark.parametrize("step_s", [0.01, 1.0, 30.0])
def test_fraction_rises_from_0_to_1(clock, step_s):
    fractions = [event.fraction for event in run_through(clock, step_s)]
    assert fractions[0] == 0.0
    assert fractions[-1] == pytest.approx(1.0)
    assert fractions == sorted(fractions)


def test_time_left_is_unknown_before_the_network_is_measured(clock):
    events = list(run_through(clock))
    assert all(event.eta_s is None for event in events if event.phase is RunPhase.PREPARE)
    assert all(event.eta_s is not None for event in events if event.phase is RunPhase.ADAPTATION)
    assert events[-1].eta_s == pytest.approx(0.0)


def test_time_left_takes_separation_as_fast_as_base_separation(clock):
    journal = RunJournal(PLAN, clock)
    begin(journal, RunPhase.PREPARE)
    begin(journal, RunPhase.BASE_SEPARATION)
    clock.now_s += 4
    (event,) = journal.advance(4)  # 0.5 s a unit of cost, also of what was not measured
    assert event.eta_s == pytest.approx((20 + 8) * 0.5 + 3)
    begin(journal, RunPhase.ADAPTATION)
    clock.now_s += 50
    (event,) = journal.advance(5)  # 5 s a unit of cost: 50 s left
    assert event.eta_s == pytest.approx(50 + 8 * 0.5 + 3)


def test_work_before_a_phase_takes_no_time_once_it_begins(clock):
    plan = [replace(phase, lead_cost=100 * (phase.phase is RunPhase.SEPARATION)) for phase in PLAN]
    journal = RunJournal(plan, clock)
    begin(journal, RunPhase.PREPARE)
    begin(journal, RunPhase.BASE_SEPARATION)
    clock.now_s += 4
    journal.advance(4)  # 0.5 s a unit of cost
    begin(journal, RunPhase.ADAPTATION)
    clock.now_s += 10
    (event,) = journal.advance(10)
    assert event.eta_s == pytest.approx((100 + 8) * 0.5 + 3)
    clock.now_s += 30
    (event,) = journal.advance_lead(2, steps=5)
    assert event.eta_s == pytest.approx((60 + 8) * 0.5 + 3)
    assert event.fraction == pytest.approx(1 - 37 / (0.1 + 4 + 40 + 37))
    assert journal.advance_lead(2, steps=5) == []  # just after another
    clock.now_s += 30
    event = begin(journal, RunPhase.SEPARATION)
    assert event.eta_s == pytest.approx(8 * 0.5 + 3)
    assert event.fraction == pytest.approx(1 - 7 / (0.1 + 4 + 70 + 7))


def test_work_before_a_phase_ends_the_steps_of_the_one_before(clock):
    journal = RunJournal(PLAN, clock)
    for plan in PLAN[:3]:
        begin(journal, plan.phase)
        clock.now_s += plan.cost / 2
        journal.advance(2)
    clock.now_s += 1
    (event,) = journal.advance_lead(0, steps=5)
    assert (event.step, event.steps) == (2, 2)
    assert event.eta_s == pytest.approx(8 * 0.5 + 3)


@pytest.mark.parametrize("speed", [0.1, 10])
def test_time_of_the_report_does_not_follow_the_network(clock, speed):
    journal = RunJournal(PLAN, clock)
    for plan in PLAN[:-1]:
        begin(journal, plan.phase)
        clock.now_s += plan.cost * speed
        journal.advance(STEPS[plan.phase])
    event = begin(journal, RunPhase.REPORT)
    assert event.eta_s == pytest.approx(3)
    assert event.fraction == pytest.approx(1 - 3 / (36 * speed + 0.1 + 3))


def test_skipped_steps_measure_no_speed(clock):
    journal = RunJournal(PLAN, clock)
    begin(journal, RunPhase.ADAPTATION)
    journal.skip(5)
    clock.now_s += 2
    (event,) = journal.advance(6)  # one step of cost 2 took 2 s: four are left, and 16 of other phases
    assert event.eta_s == pytest.approx(8 + 16 + 3.1)


def test_a_first_step_that_warms_up_measures_no_speed(clock):
    plan = [PhasePlan(RunPhase.BASE_SEPARATION, 4), PhasePlan(RunPhase.ADAPTATION, 20, warms_up=True)]
    journal = RunJournal(plan, clock)
    journal.begin(RunPhase.BASE_SEPARATION, 1)
    clock.now_s += 8
    journal.advance(1)
    journal.begin(RunPhase.ADAPTATION, 10)
    clock.now_s += 60
    (event,) = journal.advance(1)
    assert event.eta_s == pytest.approx(18 * 2)  # as fast as the separation
    clock.now_s += 3
    (event,) = journal.advance(2)
    assert event.eta_s == pytest.approx(16 * 1.5)
    assert journal.timings_s["adaptation"] == pytest.approx(63)


def test_events_come_at_most_four_times_a_second_except_at_ends(clock):
    journal = RunJournal([PhasePlan(RunPhase.ADAPTATION, cost=1)], clock)
    journal.begin(RunPhase.ADAPTATION, 1000)
    events = []
    for step in range(1, 1001):
        clock.now_s += 0.01
        events += journal.advance(step, epoch=1 + (step > 500), epochs=2, ends_epoch=step in (500, 1000))
    steps = [event.step for event in events]
    assert 500 in steps
    assert steps[-1] == 1000
    assert len(steps) <= 42


def test_a_phase_whose_steps_are_done_says_so_once(clock):
    journal = RunJournal(PLAN, clock)
    begin(journal, RunPhase.PREPARE)
    assert [len(journal.advance(2)) for _ in range(3)] == [1, 0, 0]


def test_timings_and_notices_are_kept(clock):
    journal = RunJournal(PLAN, clock)
    for plan in PLAN:
        begin(journal, plan.phase)
        clock.now_s += 2
    journal.end()
    assert journal.timings_s == {plan.phase.value: 2 for plan in PLAN}
    notice = journal.notice("CLIPPED", "some samples")
    assert notice.warning
    assert journal.notices == [notice]


def test_a_budget_is_spent_when_the_rest_needs_what_is_left(clock):
    journal = RunJournal(PLAN, clock, budget_s=20.0)
    begin(journal, RunPhase.PREPARE)
    begin(journal, RunPhase.BASE_SEPARATION)
    clock.now_s += 4
    journal.advance(4)
    begin(journal, RunPhase.ADAPTATION)
    clock.now_s += 7.9  # separation will take 4 s, the report 3 s, the margin is 1 s
    (event,) = journal.advance(1)
    assert not journal.is_budget_spent()
    assert event.eta_s == pytest.approx(20.0 - 4 - 7.9)  # not what the nine other steps would take
    clock.now_s += 0.2
    assert journal.is_budget_spent()
    assert not RunJournal(PLAN, clock).is_budget_spent()
