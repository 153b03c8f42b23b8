"""A run keeps its promises: exact null, obeyed silence, untouched base, repeatable stems, clean cancel."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.runs import EPOCHS, files_of, never, run_spec, song_of, stems_of
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation.adapter_file import load_adapter
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import StemEncoding
from ugosa_server.engines.base import (
    RunCancelled,
    RunFailed,
    RunNotice,
    RunPhase,
    RunProgress,
    RunSucceeded,
)
from ugosa_server.marks import Mark, MarkState, load_levels
from ugosa_server.models.checkpoints import save_checkpoint, weights_digest
from ugosa_server.pipeline.context import OngoingRun
from ugosa_server.pipeline.run import ResidentNetworks, run_job
from ugosa_server.report.previews import Excerpt

FADE_FRAMES = 480  # 10 ms


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    config = replace(TINY, sample_rate_hz=16_000)
    save_checkpoint(path, tiny_network(config=config).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def networks():
    return ResidentNetworks("cpu")


@pytest.fixture
def make_spec(tmp_path, checkpoint):
    return partial(run_spec, tmp_path, checkpoint)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", StemEncoding)
def test_stems_null_against_the_mix_and_obey_the_marks(make_spec, networks, channels, encoding):
    spec = make_spec(channels, stem_encoding=encoding)
    *_, ending = run_job(spec, networks, never)
    assert isinstance(ending, RunSucceeded)
    stems = stems_of(spec, ending)
    assert np.array_equal(stems.sum(axis=0), song_of(spec))
    for mark in spec.marks:
        stem = stems[TINY.sources.index(mark.source)]
        start = mark.start_frame + FADE_FRAMES if mark.start_frame else 0
        assert np.abs(stem[start : mark.end_frame - FADE_FRAMES]).max() == 0.0
    assert [stem.source for stem in ending.stems] == list(TINY.sources)
    assert {stem.frames for stem in ending.stems} == {spec.source.frames}


def test_with_a_wiener_filter_stems_differ_and_keep_both_promises(make_spec, networks):
    plain = make_spec()
    wiener = make_spec(separation=replace(plain.separation, wiener_exponent=1.0))
    endings = [list(run_job(spec, networks, never))[-1] for spec in (plain, wiener)]
    without, stems = (stems_of(spec, ending) for spec, ending in zip((plain, wiener), endings, strict=True))
    assert np.abs(stems - without).max() > 1e-3
    assert np.array_equal(stems.sum(axis=0), song_of(wiener))
    bass = stems[TINY.sources.index("bass")]
    assert np.abs(bass[: wiener.source.frames // 2 - FADE_FRAMES]).max() == 0.0
    report = json.loads((Path(wiener.out_dir) / "report.json").read_text())
    assert report["options"]["wiener_exponent"] == 1.0


@pytest.mark.parametrize(
    ("n_frames", "rate_hz"), [(1, 44_100), (2, 48_000), (44_099, 44_100), (20_001, 96_000), (16_000, 16_000)]
)
def test_any_length_and_rate_nulls(make_spec, networks, n_frames, rate_hz):
    spec = make_spec(n_frames=n_frames, rate_hz=rate_hz, marks=(Mark("bass", MarkState.SILENT, 0, n_frames),))
    *_, ending = run_job(spec, networks, never)
    assert isinstance(ending, RunSucceeded)
    assert np.array_equal(stems_of(spec, ending).sum(axis=0), song_of(spec))


def test_the_base_is_untouched_and_the_same_seed_gives_the_same_files(make_spec, networks, checkpoint):
    base = weights_digest(networks.load(checkpoint).network.state_dict())
    runs = [make_spec(seed=seed) for seed in (1, 1, 2)]
    for spec in runs:
        *_, ending = run_job(spec, networks, never)
        assert isinstance(ending, RunSucceeded)
        assert weights_digest(networks.load(checkpoint).network.state_dict()) == base
    first, second, other = (
        {name: content for name, content in files_of(spec).items() if not name.startswith("report")}
        for spec in runs
    )
    assert set(first) == {"adapter.safetensors", "levels.json", *(f"stem-{i}.wav" for i in range(4))}
    assert first == second
    assert first["adapter.safetensors"] != other["adapter.safetensors"]


@pytest.mark.parametrize("phase", RunPhase)
def test_a_cancel_in_any_phase_leaves_no_file_and_the_base(make_spec, networks, checkpoint, phase):
    base = weights_digest(networks.load(checkpoint).network.state_dict())
    spec, events, asked = make_spec(), [], []
    for event in run_job(spec, networks, lambda: bool(asked)):
        events.append(event)
        if isinstance(event, RunProgress) and event.phase is phase:
            asked.append(True)
    assert isinstance(events[-1], RunCancelled)
    assert files_of(spec) == {}
    assert weights_digest(networks.load(checkpoint).network.state_dict()) == base


def test_a_run_that_is_dropped_midway_leaves_no_file_and_the_base(make_spec, networks, checkpoint):
    base = weights_digest(networks.load(checkpoint).network.state_dict())
    spec = make_spec()
    run = run_job(spec, networks, never)
    for event in run:
        if event.phase is RunPhase.SEPARATION:
            break
    run.close()
    assert files_of(spec) == {}
    assert weights_digest(networks.load(checkpoint).network.state_dict()) == base


def test_progress_goes_through_the_phases_and_tells_every_epoch(make_spec, networks):
    events = [e for e in run_job(make_spec(), networks, never) if isinstance(e, RunProgress)]
    assert list(dict.fromkeys(event.phase for event in events)) == list(RunPhase)
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == pytest.approx(1)
    epochs = [e for e in events if e.phase is RunPhase.ADAPTATION and e.loss]
    assert {event.epoch for event in epochs} == set(range(1, EPOCHS + 1))
    assert all(event.loss.total >= event.loss.silence > 0 for event in epochs)


def test_without_silent_marks_the_song_is_separated_plainly_and_the_result_says_so(make_spec, networks):
    spec = make_spec(marks=(Mark("bass", MarkState.ACTIVE, 0, 1000),))
    events = list(run_job(spec, networks, never))
    assert [event.reason for event in events if isinstance(event, RunNotice)] == ["NO_MARKS"]
    phases = {event.phase for event in events if isinstance(event, RunProgress)}
    assert phases == {RunPhase.PREPARE, RunPhase.SEPARATION, RunPhase.REPORT}
    assert np.array_equal(stems_of(spec, events[-1]).sum(axis=0), song_of(spec))
    report = json.loads((Path(spec.out_dir) / "report.json").read_text())
    assert report["adaptation"]["strategy"] == "B0"
    assert "adapter.safetensors" not in files_of(spec)


def test_b0_adapts_nothing_but_obeys_the_marks(make_spec, networks):
    spec = make_spec(adaptation=AdaptationOptions("B0"))
    *events, ending = run_job(spec, networks, never)
    assert not any(isinstance(event, RunNotice) for event in events)
    bass = stems_of(spec, ending)[TINY.sources.index("bass")]
    assert np.abs(bass[: spec.source.frames // 2 - FADE_FRAMES]).max() == 0.0


def test_the_report_tells_what_was_measured(make_spec, networks, checkpoint):
    spec = make_spec()
    *_, ending = run_job(spec, networks, never)
    report = json.loads((Path(spec.out_dir) / ending.report_json).read_text())
    assert (Path(spec.out_dir) / ending.report_html).stat().st_size > 10_000
    info = networks.load(checkpoint).info
    keys, _ = load_adapter(Path(spec.out_dir) / "adapter.safetensors", info.sha256)
    assert keys.strategy == report["adaptation"]["strategy"] == "P-L3:D"
    assert report["options"]["learning_rate"] == 1e-3
    assert len(report["adaptation"]["epoch_losses"]) == EPOCHS
    assert report["null_peak_dbfs"] == "-inf"
    for stem in report["stems"]:
        if stem["source"] in ("bass", "vocals"):
            assert stem["silence_peak_dbfs"] == "-inf"
            assert -120 < stem["leakage_before_dbfs"] < 0
            assert stem["leakage_after_dbfs"] < stem["leakage_before_dbfs"]
        else:
            assert stem["silence_peak_dbfs"] is stem["leakage_after_dbfs"] is None
    assert list(report["timings_s"]) == [phase.value for phase in RunPhase]


def test_excerpts_that_are_encoded_while_the_network_computes_are_the_same(make_spec, networks, monkeypatch):
    """So it is on a GPU. What is told is tried here without one."""
    begun: set[int] = set()
    begun_before: dict[RunPhase, int] = {}
    begin_encoding = Excerpt.begin_encoding

    def watched(excerpt):
        begun.add(id(excerpt))
        begin_encoding(excerpt)

    def run(spec):
        begun.clear()
        begun_before.clear()
        for event in run_job(spec, networks, never):
            if isinstance(event, RunProgress):
                begun_before.setdefault(event.phase, len(begun))
        page = (Path(spec.out_dir) / "report.html").read_text()
        return re.findall(r'src="(data:audio/[^"]*)"', page)

    monkeypatch.setattr(Excerpt, "begin_encoding", watched)
    at_the_end = run(make_spec())
    assert begun_before[RunPhase.REPORT] == 0
    monkeypatch.setattr(OngoingRun, "encodes_at_once", True)
    assert run(make_spec()) == at_the_end
    assert begun_before[RunPhase.BASE_SEPARATION] == 0
    assert begun_before[RunPhase.ADAPTATION] == 1
    assert begun_before[RunPhase.REPORT] == 2
    assert len(at_the_end) == 1 + 2 * len(TINY.sources)


def test_an_error_the_user_can_answer_ends_the_run_with_its_reason(make_spec, networks):
    spec = make_spec(adaptation=AdaptationOptions(learning_rate=1e30, epochs=9, segment_s=1.0))
    *_, ending = run_job(spec, networks, never)
    assert isinstance(ending, RunFailed)
    assert ending.reason == "DIVERGED"
    assert files_of(spec) == {}


def test_a_missing_checkpoint_fails_the_run(make_spec, networks):
    spec = make_spec(model_path="/nowhere/tiny.safetensors")
    assert list(run_job(spec, networks, never)) == [
        RunFailed("BAD_CHECKPOINT", "there is no checkpoint at /nowhere/tiny.safetensors")
    ]


def test_a_run_that_only_listens_leaves_levels_and_nothing_else(make_spec, networks):
    spec = make_spec(marks=(), listens_only=True)
    *events, ending = run_job(spec, networks, never)
    assert ending == RunSucceeded((), "", "", "levels.json")
    assert set(files_of(spec)) == {"levels.json"}
    phases = [event.phase for event in events if isinstance(event, RunProgress)]
    assert set(phases) == {RunPhase.PREPARE, RunPhase.BASE_SEPARATION}
    assert not [event for event in events if isinstance(event, RunNotice)]
    levels = load_levels(Path(spec.out_dir) / "levels.json")
    song = song_of(spec)
    mean_square = np.square(song[: levels.hop_frames]).mean()
    assert levels.mix_dbfs[0] == pytest.approx(10 * np.log10(mean_square), abs=0.06)
    assert set(levels.sources_dbfs) == set(TINY.sources)


@pytest.mark.parametrize("strategy", ["P-L5:D", "B0"])
def test_every_run_keeps_the_levels_that_the_unadapted_network_gave(make_spec, networks, strategy):
    heard = make_spec(marks=(), listens_only=True)
    list(run_job(heard, networks, never))
    spec = make_spec()
    spec = replace(spec, adaptation=replace(spec.adaptation, strategy=strategy))
    *_, ending = run_job(spec, networks, never)
    assert files_of(spec)[ending.levels] == files_of(heard)["levels.json"]
