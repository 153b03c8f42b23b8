"""A run starts from an adapter: what it takes over, what it adds, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.runs import RATE_HZ, changed, files_of, never, run_spec
from tests.helpers.tiny_network import TINY
from ugosa_server.adaptation import Outcome
from ugosa_server.adaptation.adapter_keys import read_adapter_keys
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.config import WorkerSettings
from ugosa_server.jobs.runs import RunFailed, RunNotice, RunSucceeded
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.checkpoints import weights_digest
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job

OPTIONS = AdaptationOptions("P-L4:D", learning_rate=1e-3, epochs=2, segment_s=1.0, guard=False)
BASS = Mark("bass", MarkState.SILENT, 0, RATE_HZ)
VOCALS = Mark("vocals", MarkState.SILENT, RATE_HZ, 2 * RATE_HZ)


@pytest.fixture
def networks():
    return ResidentNetworks(WorkerSettings("cpu", threads=1))


@pytest.fixture
def run(tmp_path, checkpoint, networks):
    """Run marks and options, perhaps from the adapter of an earlier run."""

    def run(marks, options=OPTIONS, start=None):
        spec = run_spec(tmp_path, checkpoint, marks=marks, adaptation=options)
        if start is not None:
            path = start if isinstance(start, Path) else Path(start.out_dir) / "adapter.safetensors"
            spec = changed(spec, start_from="job-1", start_path=str(path))
        return spec, list(run_job(spec, networks, never))

    return run


def stems(spec):
    return {name: data for name, data in files_of(spec).items() if name.startswith("stem")}


def test_no_epochs_from_an_adapter_give_its_stems_again(run):
    first, (*_, ending) = run((BASS,))
    again, (*events, last) = run((BASS,), replace(OPTIONS, epochs=0), first)
    assert isinstance(last, RunSucceeded)
    assert stems(again) == stems(first)
    assert last.adapter == ending.adapter
    assert [e.message for e in events if isinstance(e, RunNotice) and e.reason == "WARM_START"] == [
        "learns nothing new and takes what job-1 has learned"
    ]
    report = json.loads((Path(again.out_dir) / "report.json").read_text())
    assert report["options"]["start_from"] == "job-1"
    assert {"base_separation", "separation"} <= set(report["timings_s"])


def test_a_warm_run_adds_to_the_silence_that_was_learned(run):
    first, _ = run((BASS,))
    second, (*_, ending) = run((BASS, VOCALS), start=first)
    assert isinstance(ending, RunSucceeded)
    cold, _ = run((BASS, VOCALS))
    assert len({tuple(sorted(stems(spec).items())) for spec in (first, second, cold)}) == 3
    silence = read_adapter_keys(Path(second.out_dir) / "adapter.safetensors").silence
    of_model = {name: [tuple(span) for span in spans] for name, spans in silence.items()}
    rate = TINY.sample_rate_hz
    assert of_model == {"bass": [(0, rate)], "vocals": [(rate, 2 * rate)]}
    assert read_adapter_keys(Path(first.out_dir) / "adapter.safetensors").silence.keys() == {"bass"}


def test_a_file_that_cannot_be_started_from_fails_the_run_alone(run, networks, tmp_path):
    first, _ = run((BASS,))
    base = weights_digest(networks.load(first.model_path).network.state_dict())
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((Path(first.out_dir) / "adapter.safetensors").read_bytes()[:-9])
    for start in (damaged, tmp_path / "gone.safetensors"):
        spec, (*_, ending) = run((BASS,), start=start)
        assert isinstance(ending, RunFailed)
        assert ending.reason == "BAD_CHECKPOINT"
        assert files_of(spec) == {}
    assert weights_digest(networks.load(first.model_path).network.state_dict()) == base


def test_the_guard_holds_back_what_was_held_back_before(run, monkeypatch):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 0.5)  # in songs of three seconds
    monkeypatch.setattr("ugosa_server.adaptation.guard.MIN_SCORE_DB", 0.02)
    marks = (Mark("bass", MarkState.SILENT, 0, 3 * RATE_HZ // 2), VOCALS)
    options = AdaptationOptions("R-L1:D", learning_rate=3e-3, epochs=4, segment_s=1.0)
    first, (*_, ending) = run(marks, options)
    assert ending.verdict.outcome is Outcome.HELPED
    hardly = replace(options, learning_rate=1e-9, epochs=1)
    second, (*_, last) = run(marks, hardly, first)
    assert last.verdict.outcome is Outcome.HELPED  # which no epoch of so small steps is without its start
    assert last.verdict.kept_epoch in (0, 1)
    held_back_s = [[row.held_back_s for row in verdict.sources] for verdict in (ending.verdict, last.verdict)]
    assert held_back_s[0] == held_back_s[1]
    keys = [read_adapter_keys(Path(spec.out_dir) / "adapter.safetensors") for spec in (first, second)]
    assert keys[0].silence == keys[1].silence
