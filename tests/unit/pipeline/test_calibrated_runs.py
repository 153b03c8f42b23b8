"""Runs whose masks are calibrated: when they are, what is kept, and that the stems obey all the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.helpers.runs import changed, files_of, never, run_spec, song_of, stems_of
from ugosa_server.adaptation.calibration import WORK_STEPS, fit_calibration
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.jobs.runs import RunNotice, RunPhase, RunProgress, RunSucceeded
from ugosa_server.pipeline.run import run_job
from ugosa_server.separation.options import SeparationOptions

REMIXES = AdaptationOptions("R-L4:D", learning_rate=1e-4, epochs=1, segment_s=1.0, guard=False)
FILTER = SeparationOptions(segment_s=1.0, wiener_exponent=0.8)


@pytest.fixture
def run(tmp_path, checkpoint, networks, monkeypatch):
    monkeypatch.setattr("ugosa_server.adaptation.calibration.MIN_SILENCE_S", 0.5)  # in songs of three seconds

    def run(adaptation=REMIXES, separation=FILTER, **changes):
        spec = run_spec(tmp_path, checkpoint, adaptation=adaptation, separation=separation)
        spec = changed(spec, **changes)
        *events, ending = run_job(spec, networks, never)
        assert isinstance(ending, RunSucceeded)
        return spec, events, ending

    return run


def adapter_of(spec):
    return Path(spec.out_dir) / "adapter.safetensors"


def is_calibrated(spec):
    return "calibration.offsets" in load_file(adapter_of(spec))


def stems(spec):
    return {name: data for name, data in files_of(spec).items() if name.startswith("stem")}


def test_remixes_calibrate_the_masks_and_stems_obey(run):
    spec, _, ending = run()
    assert is_calibrated(spec)
    made = stems_of(spec, ending)
    np.testing.assert_array_equal(made.sum(axis=0), song_of(spec))
    names = [stem.source for stem in ending.stems]
    half = spec.source.frames // 2
    fade = 0.01 * spec.source.sample_rate_hz
    assert np.abs(made[names.index("bass"), : int(half - fade)]).max() < 10 ** (-90 / 20)
    plain, _, _ = run(replace(REMIXES, calibration=False))
    assert not is_calibrated(plain)
    assert stems(plain) != stems(spec)


def test_the_time_left_falls_while_the_masks_are_calibrated(run, monkeypatch):
    monkeypatch.setattr("ugosa_server.pipeline.progress.MIN_INTERVAL_S", 0.0)
    _, events, _ = run()
    progress = [event for event in events if isinstance(event, RunProgress)]
    times_s = [e.eta_s for e in progress if e.phase is RunPhase.ADAPTATION and e.step == e.steps]
    assert len(times_s) == 1 + WORK_STEPS
    assert times_s == sorted(times_s, reverse=True)
    assert times_s[-1] < 0.2 * times_s[0]


def test_calibration_short_of_memory_learns_again_from_the_base(run, monkeypatch):
    expected, _, _ = run()
    shortages = [MemoryError()]

    def cramped(*arguments):
        if shortages:
            raise shortages.pop()
        return fit_calibration(*arguments)

    monkeypatch.setattr("ugosa_server.pipeline.adapt.fit_calibration", cramped)
    spec, _, _ = run(replace(REMIXES, segment_s=2 * REMIXES.segment_s))
    assert shortages == []
    assert stems(spec) == stems(expected)


@pytest.mark.parametrize(
    ("adaptation", "separation"),
    [
        (replace(REMIXES, strategy="P-L4:D"), FILTER),
        (REMIXES, replace(FILTER, wiener_exponent=0.0)),
    ],
    ids=["no remixes", "no filter"],
)
def test_nothing_is_calibrated_without_what_it_takes(run, adaptation, separation):
    spec, _, _ = run(adaptation, separation)
    assert not is_calibrated(spec)


def test_the_adapter_gives_the_calibrated_stems_again(run):
    first, _, _ = run()
    again, _, _ = run(replace(REMIXES, epochs=0), start_from="job-1", start_path=str(adapter_of(first)))
    assert stems(again) == stems(first)


def test_the_same_seed_gives_the_same_stems(run):
    (one, _, _), (other, _, _) = run(), run()
    assert stems(one) == stems(other)


def test_a_spent_budget_leaves_the_calibration_out_and_says_so(run):
    spec, events, _ = run(replace(REMIXES, epochs=1000, max_s=0.01))
    assert not is_calibrated(spec)
    (notice,) = [event for event in events if isinstance(event, RunNotice) and event.reason == "BUDGET"]
    assert "--calibration off gives the same stems again" in notice.message
    steps = json.loads((Path(spec.out_dir) / "report.json").read_text())["options"]["steps_made"]
    repeated, _, _ = run(replace(REMIXES, epochs=1000, max_steps=steps, calibration=False))
    assert stems(repeated) == stems(spec)
