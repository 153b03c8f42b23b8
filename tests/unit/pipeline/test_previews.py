"""Previews let one hear what is learned so far, and change nothing of the result."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.helpers.runs import files_of, never, run_spec, song_of, stems_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.errors import DiskFullError
from ugosa_server.jobs.runs import RunNotice, RunPreview, RunSucceeded
from ugosa_server.pipeline.run import run_job

RATE_HZ = 11_025  # not the network's
FRAMES = 3 * RATE_HZ
LEARNING = AdaptationOptions(learning_rate=1e-2, epochs=3, segment_s=0.5, guard=False)


@pytest.fixture
def make_spec(tmp_path, checkpoint):
    return partial(run_spec, tmp_path, checkpoint, rate_hz=RATE_HZ, n_frames=FRAMES, adaptation=LEARNING)


@pytest.fixture
def always(monkeypatch):
    """Previews after every step."""
    monkeypatch.setattr("ugosa_server.pipeline.previews.EVERY_S", 0.0)
    monkeypatch.setattr("ugosa_server.pipeline.previews.MAX_SHARE", 1e9)


def with_previews(spec, networks):
    """The events of a run, and its previews [S, T, C] as they were when they were announced."""
    events, previews = [], []
    for event in run_job(spec, networks, never):
        events.append(event)
        if isinstance(event, RunPreview):
            previews.append(stems_of(spec, event))
    return events, previews


@pytest.mark.usefixtures("always")
def test_previews_are_heard_to_change_and_change_no_result(make_spec, networks):
    plain = make_spec()
    *_, plain_ending = run_job(plain, networks, never)
    start, stop = RATE_HZ + 3, 2 * RATE_HZ + 17  # the network's rate has no frame at either
    spec = make_spec(preview_start_frame=start, preview_end_frame=stop)
    events, previews = with_previews(spec, networks)
    said = [event for event in events if isinstance(event, RunPreview)]
    assert [event.step for event in said] == list(range(1, len(said) + 1))
    assert {event.epoch for event in said} == {1, 2, 3}
    assert {(event.start_frame, event.end_frame) for event in said} == {(start, stop)}
    assert np.abs(previews[-1] - previews[0]).max() > 1e-4
    for stems in previews:
        assert (stems.sum(axis=0) == song_of(spec)[start:stop]).all()
        assert np.abs(stems).max(axis=(1, 2)).min() > 0.0
        assert (stems[:, 2000:-2000] == 0).all(axis=(1, 2)).sum() == 1  # vocals are marked silent
    assert events[-1].stems == plain_ending.stems
    assert events[-1].adapter == plain_ending.adapter
    assert sorted(files_of(spec)) == sorted(files_of(plain))


@pytest.mark.usefixtures("always")
def test_the_last_preview_is_near_the_stems(make_spec, networks):
    spec = make_spec(preview_start_frame=0, preview_end_frame=FRAMES)
    events, previews = with_previews(spec, networks)
    stems = stems_of(spec, events[-1])
    assert np.abs(previews[-1] - stems).max() < 1e-4 < np.abs(previews[0] - stems).max()


def test_previews_take_a_tenth_of_the_time_at_most(make_spec, networks, monkeypatch):
    monkeypatch.setattr("ugosa_server.pipeline.previews.EVERY_S", 0.0)
    monkeypatch.setattr("ugosa_server.pipeline.previews.MAX_SHARE", 1e-9)
    events, previews = with_previews(make_spec(preview_start_frame=0, preview_end_frame=RATE_HZ), networks)
    assert isinstance(events[-1], RunSucceeded)
    assert previews == []


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("error", [DiskFullError("full"), MemoryError()])
def test_a_job_goes_on_without_room_for_previews(make_spec, networks, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("ugosa_server.pipeline.previews.separate_quietly", fail)
    *events, ending = run_job(make_spec(preview_start_frame=0, preview_end_frame=RATE_HZ), networks, never)
    assert isinstance(ending, RunSucceeded)
    reasons = [event.reason for event in events if isinstance(event, RunNotice)]
    assert reasons.count("NO_PREVIEW") == 1


@pytest.mark.usefixtures("always")
def test_a_run_that_is_cancelled_leaves_no_preview(make_spec, networks):
    span = {"preview_start_frame": 0, "preview_end_frame": RATE_HZ}
    spec = make_spec(adaptation=replace(LEARNING, epochs=100), **span)
    previews = []
    for event in run_job(spec, networks, lambda wish: any(previews)):
        previews.extend([event] * isinstance(event, RunPreview))
    assert len(previews) == 1
    assert files_of(spec) == {}


@pytest.mark.usefixtures("always")
def test_a_rate_that_flac_does_not_hold_has_no_previews(make_spec, networks):
    spec = make_spec(rate_hz=96_096, preview_start_frame=0, preview_end_frame=FRAMES)
    *events, ending = run_job(spec, networks, never)
    assert isinstance(ending, RunSucceeded)
    (notice,) = [event for event in events if getattr(event, "reason", "") == "NO_PREVIEW"]
    assert "96096 Hz" in notice.message
