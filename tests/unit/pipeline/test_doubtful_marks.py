"""Marks that the model hears to be wrong are named before the adaptation, and again after it."""

import json

import numpy as np
import pytest

from tests.helpers.runs import never, run_spec
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.config import WorkerSettings
from ugosa_server.jobs.runs import RunNotice, RunSucceeded
from ugosa_server.marks import Mark, MarkSet, MarkState, SongLevels, lint_marks, load_levels, still_sounding
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.pipeline.run import ResidentNetworks, run_job

RATE_HZ, HOP = 1000, 50


def levels_of(*parts):
    """Levels of vocals from (seconds, dBFS), over drums that play throughout."""
    vocals = np.concatenate([np.full(round(seconds * RATE_HZ / HOP), dbfs) for seconds, dbfs in parts])
    mix = 10 * np.log10(10 ** (vocals / 10) + 0.01)
    drums = (-20.0,) * len(mix)
    return SongLevels(
        "abc", RATE_HZ, len(mix) * HOP, HOP, tuple(mix), {"drums": drums, "vocals": tuple(map(float, vocals))}
    )


def silent(start_s, stop_s):
    return MarkSet((Mark("vocals", MarkState.SILENT, start_s * RATE_HZ, stop_s * RATE_HZ),))


@pytest.mark.parametrize(
    ("dbfs", "found"),
    [(-18.0, [(5_000, 10_000)]), (-29.0, [(5_000, 10_000)]), (-40.0, [])],
)
def test_a_silence_is_doubtful_only_near_the_own_level(dbfs, found):
    levels = levels_of((5, -20.0), (5, dbfs), (10, -20.0))
    assert list(still_sounding(silent(5, 10), "vocals", levels)) == found


def test_a_short_sound_in_a_silence_is_no_doubt():
    levels = levels_of((5, -20.0), (2, -60.0), (0.3, -20.0), (2.7, -60.0), (10, -20.0))
    assert list(still_sounding(silent(5, 10), "vocals", levels)) == []


def test_a_source_that_is_silent_throughout_has_no_own_level():
    assert list(still_sounding(silent(0, 20), "vocals", levels_of((20, -20.0)))) == []


def test_a_run_says_which_marks_the_model_hears_to_be_wrong(tmp_path):
    checkpoint = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, tiny_network().state_dict(), TINY)  # random weights: every source sounds
    marks = (Mark("bass", MarkState.SILENT, 0, 12_000),)
    spec = run_spec(tmp_path, checkpoint, rate_hz=8000, n_frames=24_000, marks=marks)
    *events, ending = run_job(spec, ResidentNetworks(WorkerSettings("cpu")), never)
    assert isinstance(ending, RunSucceeded)
    found = lint_marks(spec.marks, TINY.sources, spec.source, load_levels(tmp_path / "out-0" / ending.levels))
    assert "SILENT_BUT_HEARD" in {finding.code for finding in found}
    notices = [event for event in events if isinstance(event, RunNotice) and event.warning]
    assert [notice.reason for notice in notices] == ["SILENT_BUT_HEARD", "DOUBTFUL_MARK"]
    assert all(notice.message.startswith("bass ") for notice in notices)
    assert "from 0:00.0 to 0:01.5 (up to " in notices[0].message
    report = json.loads((tmp_path / "out-0" / ending.report_json).read_text())
    assert {notice.message for notice in notices} <= set(report["notices"])
