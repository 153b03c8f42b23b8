"""A run leaves the base untouched, repeatable files, a report of its measurements, or nothing at all."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.encoded import played_clip
from tests.helpers.runs import EPOCHS, RATE_HZ, changed, files_of, never, run_spec, song_of, stems_of
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation import Outcome
from ugosa_server.adaptation.adapter_file import load_adapter
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import Wish
from ugosa_server.jobs.runs import (
    JobKind,
    RunCancelled,
    RunFailed,
    RunNotice,
    RunPhase,
    RunProgress,
    RunSucceeded,
)
from ugosa_server.marks import Mark, MarkState, load_levels
from ugosa_server.models.checkpoints import save_checkpoint, weights_digest
from ugosa_server.pipeline.run import ResidentNetworks, run_job


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    config = replace(TINY, sample_rate_hz=16_000)
    save_checkpoint(path, tiny_network(config=config).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def networks():
    return ResidentNetworks(WorkerSettings("cpu"))


@pytest.fixture
def make_spec(tmp_path, checkpoint):
    return partial(run_spec, tmp_path, checkpoint)


def test_same_seed_gives_the_same_files_and_the_base_stays(make_spec, networks, checkpoint):
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
def test_cancel_in_any_phase_leaves_no_file_and_the_base(make_spec, networks, checkpoint, phase):
    base = weights_digest(networks.load(checkpoint).network.state_dict())
    spec, events, asked = make_spec(), [], []
    for event in run_job(spec, networks, lambda wish: wish is Wish.CANCEL and bool(asked)):
        events.append(event)
        if isinstance(event, RunProgress) and event.phase is phase:
            asked.append(True)
    assert isinstance(events[-1], RunCancelled)
    assert files_of(spec) == {}
    assert weights_digest(networks.load(checkpoint).network.state_dict()) == base


def test_dropped_run_leaves_no_file_and_the_base(make_spec, networks, checkpoint):
    base = weights_digest(networks.load(checkpoint).network.state_dict())
    spec = make_spec()
    run = run_job(spec, networks, never)
    for event in run:
        if isinstance(event, RunProgress) and event.phase is RunPhase.SEPARATION:
            break
    run.close()
    assert files_of(spec) == {}
    assert weights_digest(networks.load(checkpoint).network.state_dict()) == base


def test_progress_goes_through_the_phases_and_every_epoch(make_spec, networks):
    events = [e for e in run_job(make_spec(), networks, never) if isinstance(e, RunProgress)]
    assert list(dict.fromkeys(event.phase for event in events)) == list(RunPhase)
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == pytest.approx(1)
    epochs = [e for e in events if e.phase is RunPhase.ADAPTATION and e.loss]
    assert {event.epoch for event in epochs} == set(range(1, EPOCHS + 1))
    assert all(event.loss.total >= event.loss.silence >= 0 for event in epochs)
    assert any(event.loss.silence > 0 for event in epochs)


def test_run_without_silent_marks_is_plain_with_a_notice(make_spec, networks):
    spec = make_spec(marks=(Mark("bass", MarkState.ACTIVE, 0, 1000),))
    events = list(run_job(spec, networks, never))
    assert [event.reason for event in events if isinstance(event, RunNotice)] == ["NO_MARKS"]
    phases = {event.phase for event in events if isinstance(event, RunProgress)}
    assert phases == {RunPhase.PREPARE, RunPhase.SEPARATION, RunPhase.REPORT}
    report = json.loads((Path(spec.out_dir) / "report.json").read_text())
    assert report["adaptation"]["strategy"] == "B0"
    assert "adapter.safetensors" not in files_of(spec)


def test_b0_adapts_nothing_and_says_what_the_marks_hide(make_spec, networks):
    spec = make_spec(adaptation=AdaptationOptions("B0"))
    *events, _ = run_job(spec, networks, never)
    assert {event.reason for event in events if isinstance(event, RunNotice)} == {"SILENT_BUT_HEARD"}
    assert "adapter.safetensors" not in files_of(spec)


def test_report_holds_the_measurements(make_spec, networks, checkpoint):
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


def test_guard_keeps_an_epoch_or_the_base_and_reports_which(make_spec, networks, monkeypatch):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 0.5)  # in songs of three seconds
    (unadapted,) = (e for e in run_job(make_spec(marks=()), networks, never) if isinstance(e, RunSucceeded))
    outcomes = set()
    for strategy, learning_rate in (("R-L1:D", 3e-3), ("P-L1:D", 1e-9)):
        options = AdaptationOptions(strategy, learning_rate=learning_rate, epochs=4, segment_s=1.0)
        spec = make_spec(adaptation=options)
        *events, ending = run_job(spec, networks, never)
        verdict = ending.verdict
        outcomes.add(verdict.outcome)
        notices = {e.reason: e.message for e in events if isinstance(e, RunNotice)}
        assert notices["VERDICT"] == verdict.sentence
        changes = {e.epoch: e.held_back_db for e in events if isinstance(e, RunProgress) and e.epoch}
        assert sorted(epoch for epoch, change in changes.items() if change is not None) == [1, 2, 3, 4]
        judged = verdict.kept_epoch or 4
        assert changes[judged] == pytest.approx(np.mean([row.change_db for row in verdict.sources]))
        report = json.loads((Path(spec.out_dir) / "report.json").read_text())
        stated = report["adaptation"]["verdict"]
        assert stated["outcome"] == verdict.outcome
        assert stated["sentence"] == verdict.sentence
        assert [row["source"] for row in stated["sources"]] == ["bass", "vocals"]
        page = (Path(spec.out_dir) / "report.html").read_text()
        first_card = page[page.index('class="card') :].partition("</div>")[0]
        assert ("did not help" in first_card) is (verdict.outcome is Outcome.DID_NOT)
        assert "held back from training" in page
        assert ("adapter.safetensors" in files_of(spec)) is (verdict.outcome is Outcome.HELPED)
        assert not {"estimates.f32", "model-mix.f32"} & set(files_of(spec))
    assert outcomes == {Outcome.HELPED, Outcome.DID_NOT}
    assert unadapted.verdict is None


def test_too_little_silence_is_not_judged(make_spec, networks):
    spec = make_spec()
    *events, ending = run_job(spec, networks, never)
    assert ending.verdict.outcome is Outcome.CANNOT_TELL
    assert "adapter.safetensors" in files_of(spec)
    assert any("too little silence" in e.message for e in events if isinstance(e, RunNotice))


def test_remixes_without_a_usable_stretch_give_way_to_marks(make_spec, networks):
    n_frames = 3 * RATE_HZ
    spec = make_spec(
        marks=(Mark("vocals", MarkState.SILENT, 0, n_frames),),
        adaptation=AdaptationOptions("R-L3:D", learning_rate=1e-3, epochs=2, segment_s=1.0, guard=False),
    )
    *events, ending = run_job(spec, networks, never)
    notices = {e.reason: e.message for e in events if isinstance(e, RunNotice)}
    assert "P-L3:D is taken in place of R-L3:D" in notices["NO_REMIX"]
    report = json.loads((Path(spec.out_dir) / ending.report_json).read_text())
    assert report["adaptation"]["strategy"] == "P-L3:D"


def test_silence_held_back_leaves_remixes_of_other_sources(make_spec, networks, monkeypatch):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 0.5)  # in songs of three seconds
    n_frames = 3 * RATE_HZ
    spec = make_spec(
        marks=(
            Mark("vocals", MarkState.SILENT, 0, n_frames),  # the last 0.75 s are held back
            Mark("bass", MarkState.SILENT, n_frames - 7 * RATE_HZ // 10, n_frames),
        ),
        adaptation=AdaptationOptions("R-L3:D", learning_rate=1e-3, epochs=2, segment_s=1.0),
    )
    *events, ending = run_job(spec, networks, never)
    assert "NO_REMIX" not in {e.reason for e in events if isinstance(e, RunNotice)}
    report = json.loads((Path(spec.out_dir) / ending.report_json).read_text())
    assert report["adaptation"]["strategy"] == "R-L3:D"


def listening_of(spec):
    """Return the takes that the page of a run plays."""
    page = (Path(spec.out_dir) / "report.html").read_text()
    return json.loads(re.search(r'id="listening" type="application/json">(.*?)</script>', page)[1])


def test_excerpt_has_each_take_as_its_own_job_gives_it(make_spec, networks):
    plain = AdaptationOptions("B0")
    specs = {"base": make_spec(adaptation=plain, marks=()), "marked": make_spec(adaptation=plain)}
    specs["adapted"] = spec = make_spec()
    stems = {}
    for kind, run in specs.items():
        *_, ending = run_job(run, networks, never)
        stems[kind] = stems_of(run, ending)[..., 0]
        assert [take["kind"] for take in listening_of(run)["takes"]][-1] == kind
    listening = listening_of(spec)
    assert (listening["start_s"], listening["end_s"]) == (0.0, 3.0)  # all of it
    n_frames = stems["base"].shape[1]
    for take in listening["takes"]:
        clips = np.stack([played_clip(clip)[0, :n_frames] for clip in take["clips"]])
        errors = {kind: np.square(clips - of_job).mean() for kind, of_job in stems.items()}
        assert errors[take["kind"]] < 1.01 * min(errors.values()), errors  # adapted is marked, nearly


def test_page_without_excerpt_holds_no_audio(make_spec, networks):
    spec = make_spec(excerpt=False)
    *_, ending = run_job(spec, networks, never)
    assert [take["clips"] for take in listening_of(spec)["takes"]] == [[], [], []]
    assert (Path(spec.out_dir) / ending.report_html).stat().st_size < 200_000


def test_diverged_adaptation_fails_with_its_reason(make_spec, networks):
    spec = make_spec(adaptation=AdaptationOptions(learning_rate=1e30, epochs=9, segment_s=1.0))
    *_, ending = run_job(spec, networks, never)
    assert isinstance(ending, RunFailed)
    assert ending.reason == "DIVERGED"
    assert files_of(spec) == {}


def test_missing_checkpoint_fails_the_run(make_spec, networks):
    spec = make_spec(model_path="/nowhere/tiny.safetensors")
    assert list(run_job(spec, networks, never)) == [
        RunFailed("BAD_CHECKPOINT", "there is no checkpoint at tiny.safetensors")  # no folder of the server
    ]


def test_analysis_leaves_levels_and_nothing_else(make_spec, networks):
    spec = make_spec(marks=(), kind=JobKind.ANALYSIS)
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
def test_every_run_keeps_levels_of_the_unadapted_network(make_spec, networks, strategy):
    analysis = make_spec(marks=(), kind=JobKind.ANALYSIS)
    list(run_job(analysis, networks, never))
    spec = make_spec()
    spec = changed(spec, adaptation=replace(spec.options.adaptation, strategy=strategy))
    *_, ending = run_job(spec, networks, never)
    assert files_of(spec)[ending.levels] == files_of(analysis)["levels.json"]


def test_a_model_that_was_changed_meanwhile_is_refused(tmp_path, checkpoint, networks):
    spec = run_spec(tmp_path, checkpoint, n_frames=RATE_HZ // 2, model_sha256="0" * 64)
    *_, last = run_job(spec, networks, never)
    assert last.reason == "BAD_CHECKPOINT"
    assert "has changed since the server started" in last.message
