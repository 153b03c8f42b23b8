"""A job with a budget of time learns less, says how much, and can be repeated without the clock."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.runs import never, run_spec
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.jobs.runs import RunNotice
from ugosa_server.pipeline.run import run_job

LONG = AdaptationOptions(learning_rate=1e-3, epochs=1000, segment_s=0.5, guard=False)  # many minutes


@pytest.mark.parametrize("guard", [False, True])
def test_a_budget_ends_the_learning_and_its_steps_repeat_it(
    tmp_path, checkpoint, networks, monkeypatch, guard
):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 0.5)  # in a song of three seconds
    options = replace(LONG, guard=guard, max_s=3.0)
    timed = run_spec(tmp_path, checkpoint, rate_hz=8000, n_frames=24_000, adaptation=options)
    *events, ending = run_job(timed, networks, never)
    notices = {event.reason: event.message for event in events if isinstance(event, RunNotice)}
    steps, all_steps = map(int, re.match(r"(\d+) of (\d+) steps", notices["BUDGET"]).groups())
    assert 1 <= steps < all_steps == 6000
    report = json.loads((Path(timed.out_dir) / ending.report_json).read_text())
    assert report["options"]["steps_made"] == steps
    options = replace(LONG, guard=guard, max_steps=steps)
    counted = run_spec(tmp_path, checkpoint, rate_hz=8000, n_frames=24_000, adaptation=options)
    *_, again = run_job(counted, networks, never)
    assert [stem.sha256 for stem in again.stems] == [stem.sha256 for stem in ending.stems]
    assert again.verdict == ending.verdict
