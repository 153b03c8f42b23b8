"""A job that is to take what it has learned so far gives that, says how much, and can be repeated."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.runs import never, run_spec
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.engines.base import Wish
from ugosa_server.jobs.runs import BaseStems, RunNotice, RunPhase, RunProgress
from ugosa_server.pipeline.run import run_job
from ugosa_server.separation.options import SeparationOptions

LONG = AdaptationOptions(learning_rate=1e-3, epochs=1000, segment_s=0.5)  # many minutes; an epoch has 6 steps

FILTER = SeparationOptions(segment_s=1.0, wiener_exponent=0.8)  # with which remixes calibrate the masks


@pytest.fixture
def networks(monkeypatch, networks):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 0.5)  # in a song of three seconds
    return networks


@pytest.fixture
def make_spec(tmp_path, checkpoint):
    return partial(run_spec, tmp_path, checkpoint, rate_hz=8000, n_frames=24_000)


def accepted_in(spec, networks, phase, step=0):
    """The events of a run that is accepted at a step of a phase."""
    asked, events = [], []
    for event in run_job(spec, networks, lambda wish: wish is Wish.ACCEPT and bool(asked)):
        events.append(event)
        if isinstance(event, RunProgress) and event.phase is phase and event.step >= step:
            asked.append(True)
    return events


def notices(events):
    return {event.reason: event.message for event in events if isinstance(event, RunNotice)}


def digests(ending):
    return [stem.sha256 for stem in ending.stems]


@pytest.mark.parametrize("guard", [False, True])
def test_what_was_learned_is_taken_and_its_steps_repeat_it(make_spec, networks, guard):
    spec = make_spec(adaptation=replace(LONG, guard=guard))
    *events, ending = accepted_in(spec, networks, RunPhase.ADAPTATION, step=8)
    steps, all_steps = map(int, re.match(r"(\d+) of (\d+) steps", notices(events)["ACCEPTED"]).groups())
    assert 8 <= steps < all_steps == 6000
    report = json.loads((Path(spec.out_dir) / ending.report_json).read_text())
    assert report["options"]["steps_made"] == steps
    again = make_spec(adaptation=replace(LONG, guard=guard, max_steps=steps))
    *_, counted = run_job(again, networks, never)
    assert digests(counted) == digests(ending)
    assert counted.verdict == ending.verdict


@pytest.mark.parametrize("base_stems", BaseStems)
def test_before_the_first_step_the_model_is_taken_as_it_is(make_spec, networks, base_stems):
    plain = make_spec(adaptation=AdaptationOptions("B0"))
    *_, plain_ending = run_job(plain, networks, never)
    spec = make_spec(adaptation=LONG, base_stems=base_stems)
    *events, ending = accepted_in(spec, networks, RunPhase.PREPARE)
    assert notices(events)["ACCEPTED"].startswith("nothing was learned yet")
    assert digests(ending) == digests(plain_ending)
    assert ending.verdict is None
    report = json.loads((Path(spec.out_dir) / ending.report_json).read_text())
    assert (report["adaptation"]["strategy"], report["options"]["steps_made"]) == ("B0", 0)


def test_epochs_of_an_earlier_attempt_are_taken(make_spec, networks, tmp_path):
    options = replace(LONG, epochs=3)
    kept, other = tmp_path / "kept.safetensors", tmp_path / "other.safetensors"
    run = run_job(make_spec(adaptation=options, checkpoint_path=str(kept)), networks, never)
    while not kept.exists():
        next(run)
    run.close()
    spec = make_spec(adaptation=options, checkpoint_path=str(other), resume_path=str(kept), attempt=2)
    *events, ending = accepted_in(spec, networks, RunPhase.PREPARE)
    assert {"RESUMED", "ACCEPTED"} <= notices(events).keys()
    assert notices(events)["ACCEPTED"].startswith("6 of 18 steps were learned")
    *_, counted = run_job(make_spec(adaptation=replace(options, max_steps=6)), networks, never)
    assert digests(counted) == digests(ending)


def test_a_calibration_short_of_memory_leaves_what_was_learned(make_spec, networks, monkeypatch):
    def cramped(*arguments):
        raise MemoryError

    monkeypatch.setattr("ugosa_server.pipeline.adapt.fit_calibration", cramped)
    options = replace(LONG, strategy="R-L4:D", learning_rate=1e-4, guard=False)
    spec = make_spec(adaptation=options, separation=FILTER)
    *events, ending = accepted_in(spec, networks, RunPhase.ADAPTATION, step=2)
    steps = int(notices(events)["ACCEPTED"].split()[0])
    assert steps >= 2
    assert ending.adapter is not None
    assert "the calibration of the masks is left out" in notices(events)["CPU_MEMORY"]
    options = replace(options, max_steps=steps, calibration=False)
    *_, counted = run_job(make_spec(adaptation=options, separation=FILTER), networks, never)
    assert digests(counted) == digests(ending)
