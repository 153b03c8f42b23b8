"""Display of a training: every report once on terminal and in the log, figures as event files."""

import json

import pytest

from ugosa_research.training.display import View, on_tensorboard, shown


def view(step):
    return View(step, f"at {step}", json.dumps({"step": step}), {"training/loss": 1.0 / step}, "")


def test_without_terminal_every_report_is_a_line_and_a_log_entry(tmp_path, capsys):
    assert list(shown([1, 2], 2, view, tmp_path / "log.jsonl")) == [1, 2]
    assert list(shown([3], 3, view, tmp_path / "log.jsonl")) == [3]
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert capsys.readouterr().out.splitlines() == lines


def test_figures_become_event_files(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert list(on_tensorboard([1, 4], tmp_path / "events", view)) == [1, 4]
    events = accumulator.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("training/loss")] == [(1, 1.0), (4, 0.25)]
