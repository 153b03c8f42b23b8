"""Stems of the model as it is are there before fine-tuning, and cost nothing where they are the best."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.runs import files_of, never, run_spec, stems_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import StemEncoding
from ugosa_server.jobs.runs import BaseStems, RunBaseStems, RunPhase, RunProgress
from ugosa_server.pipeline.run import run_job

UNJUDGED = AdaptationOptions(learning_rate=1e-3, epochs=1, segment_s=0.5, guard=False)


@pytest.fixture
def make_spec(tmp_path, checkpoint):
    return partial(run_spec, tmp_path, checkpoint, rate_hz=8000, n_frames=24_000, adaptation=UNJUDGED)


def phases(events):
    return list(dict.fromkeys(event.phase for event in events if isinstance(event, RunProgress)))


def test_base_stems_are_those_of_a_job_that_learns_nothing(make_spec, networks):
    plain = make_spec(adaptation=AdaptationOptions("B0"))
    *_, plain_ending = run_job(plain, networks, never)
    spec = make_spec(base_stems=BaseStems.KEPT)
    events = []
    for event in run_job(spec, networks, never):
        if isinstance(event, RunBaseStems):
            assert phases(events) == [RunPhase.PREPARE, RunPhase.BASE_SEPARATION]
            assert (stems_of(spec, event) == stems_of(plain, plain_ending)).all()
            assert [stem.sha256 for stem in event.stems] == [stem.sha256 for stem in plain_ending.stems]
        events.append(event)
    ending = events[-1]
    (early,) = [event for event in events if isinstance(event, RunBaseStems)]
    assert ending.base_stems == early.stems
    assert {stem.sha256 for stem in ending.stems}.isdisjoint(stem.sha256 for stem in early.stems)


@pytest.mark.parametrize("encoding", [StemEncoding.WAV_FLOAT32, StemEncoding.FLAC_PCM24])
def test_early_stems_change_no_result_and_are_removed(make_spec, networks, encoding):
    endings = []
    for base_stems in (BaseStems.NONE, BaseStems.EARLY):
        spec = make_spec(base_stems=base_stems, stem_encoding=encoding)
        spec = replace(spec, options=replace(spec.options, stems=("vocals",)))
        *events, ending = run_job(spec, networks, never)
        early = [event.stems for event in events if isinstance(event, RunBaseStems)]
        assert [[stem.source for stem in stems] for stems in early] == (
            [["vocals", "rest"]] if base_stems is BaseStems.EARLY else []
        )
        assert ending.base_stems == ()
        endings.append((ending.stems, sorted(files_of(spec))))
    assert endings[0] == endings[1]


@pytest.mark.parametrize("base_stems", BaseStems)
def test_a_base_that_is_kept_is_separated_once(make_spec, networks, monkeypatch, base_stems):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 0.5)  # in a song of three seconds
    monkeypatch.setattr("ugosa_server.adaptation.guard.MIN_SCORE_DB", 100.0)  # which no epoch can reach
    plain = make_spec(adaptation=AdaptationOptions("B0"))
    *_, plain_ending = run_job(plain, networks, never)
    spec = make_spec(adaptation=replace(UNJUDGED, guard=True), base_stems=base_stems)
    *events, ending = run_job(spec, networks, never)
    assert [stem.sha256 for stem in ending.stems] == [stem.sha256 for stem in plain_ending.stems]
    assert phases(events) == list(RunPhase)
    assert ending.base_stems == (ending.stems if base_stems is BaseStems.KEPT else ())
    assert all((Path(spec.out_dir) / stem.file_name).exists() for stem in ending.stems)
    separations = [e for e in events if isinstance(e, RunProgress) and e.phase is RunPhase.SEPARATION]
    assert (max(event.step for event in separations) == 0) == (base_stems is not BaseStems.NONE)
    assert len([name for name in files_of(spec) if name.endswith(".wav")]) == 4
