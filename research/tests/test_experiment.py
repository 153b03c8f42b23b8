"""The experiment end to end on a tiny network: the real pipeline, resumable, one truth for all methods."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_research.evaluation.datasets import SOURCES
from ugosa_research.evaluation.experiment import ExperimentOptions, run_experiment
from ugosa_research.evaluation.methods import grid
from ugosa_research.evaluation.plain_metrics import sdr_db
from ugosa_research.evaluation.preparation import prepared_songs
from ugosa_research.evaluation.song_scores import ScoringOptions, SongScorer, medians
from ugosa_research.evaluation.windows import SISEC, Windows
from ugosa_server import cli
from ugosa_server.errors import BadOptionError
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.registry import read_model_info

RATE_HZ = 8000
SECONDS = 8


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """raw/ with a four-stem and a two-stem song, prepared/, models/tiny.safetensors."""
    folder = tmp_path_factory.mktemp("evaluation")
    random = np.random.default_rng(0)
    for song, names in (("four", SOURCES), ("two", ("guitar", "song"))):
        (folder / "raw" / song).mkdir(parents=True)
        for name in names:
            stem = 0.1 * random.normal(size=(SECONDS * RATE_HZ, 2))
            soundfile.write(folder / "raw" / song / f"{name}.wav", stem, RATE_HZ, subtype="FLOAT")
    (folder / "models").mkdir()
    save_checkpoint(folder / "models" / "tiny.safetensors", tiny_network().state_dict(), TINY)
    assert (
        cli.main(["evaluate", "prepare", "--dataset", str(folder / "raw"), "--out", str(folder / "prepared")])
        == 0
    )
    return folder


@pytest.fixture
def options(workspace):
    model = read_model_info(workspace / "models" / "tiny.safetensors")
    model = replace(model, adaptation_defaults={"learning_rate": 1e-3, "epochs": 1})
    return ExperimentOptions(model, ScoringOptions(Windows(2.0, 1.5), "none"))


def scores_of(out, song, method):
    return json.loads((out / "scores" / song / f"{method}.json").read_text())


def test_every_method_runs_on_every_song_once(workspace, options, tmp_path):
    songs = prepared_songs(workspace / "prepared")
    methods = grid(["B0", "P-L3:D", "B-L5:D"], {})
    runs = list(run_experiment(songs, methods, options, tmp_path))
    assert {(run.song, run.method) for run in runs} == {(s.name, m.name) for s in songs for m in methods}
    assert [run.error for run in runs] == [None] * 6
    assert runs[-1].done == runs[-1].of == 6
    adapted, base = scores_of(tmp_path, "four", "P-L3D"), scores_of(tmp_path, "four", "B0")
    assert adapted["trainable_parameters"] > base["trainable_parameters"] == 0
    assert adapted["scores"]["vocals"]["plain SDR"] != base["scores"]["vocals"]["plain SDR"]
    assert list(scores_of(tmp_path, "two", "B0")["scores"]) == ["other", "rest"]
    assert list(run_experiment(songs, methods, options, tmp_path)) == []


def test_a_missing_score_is_made_again_and_others_are_kept(workspace, options, tmp_path):
    songs = prepared_songs(workspace / "prepared")[:1]
    methods = grid(["B0", "P-L5:D"], {})
    list(run_experiment(songs, methods, options, tmp_path))
    path = tmp_path / "scores" / "four" / "P-L5D.json"
    before = path.read_bytes()
    path.unlink()
    assert [run.method for run in run_experiment(songs, methods, options, tmp_path)] == ["P-L5:D"]
    scores = [json.loads(text)["scores"] for text in (before, path.read_bytes())]
    assert scores[0] == scores[1]  # the same seed gives the same stems


def test_results_of_other_options_are_not_mixed(workspace, options, tmp_path):
    songs = prepared_songs(workspace / "prepared")[:1]
    list(run_experiment(songs, grid(["B0"], {}), options, tmp_path))
    with pytest.raises(BadOptionError, match="marks 'exact', but 'human'"):
        list(run_experiment(songs, grid(["B0"], {}), replace(options, marks="human"), tmp_path))


def test_a_failed_run_is_told_and_leaves_no_score(workspace, options, tmp_path):
    songs = prepared_songs(workspace / "prepared")[:1]
    methods = grid(["P-L1:D"], {"learning_rate": [1.0], "epochs": [40]})
    model = replace(options.model, path=workspace / "models" / "gone.safetensors")
    (run,) = run_experiment(songs, methods, replace(options, model=model), tmp_path)
    assert "gone.safetensors" in run.error
    assert not (tmp_path / "scores" / "four").exists()


def test_marks_apply_to_methods_that_do_not_learn_from_them(workspace, options, tmp_path):
    """In marked silence every result is exactly silent: the energy predicted there is at its floor."""
    songs = prepared_songs(workspace / "prepared")[:1]
    half_seconds = replace(options, scoring=ScoringOptions(Windows(0.5, 0.5), "none"))
    list(run_experiment(songs, grid(["B0"], {}), half_seconds, tmp_path))
    for metrics in scores_of(tmp_path, "four", "B0")["scores"].values():
        known = [value for value in metrics["PES"] if value is not None]
        assert known
        assert np.median(known) == -80.0


def test_the_command_prints_the_tables_and_writes_the_files(workspace, tmp_path, capsys):
    """With two processes, and BSS Eval."""
    prepared, out = tmp_path / "prepared", tmp_path / "out"
    assert (
        cli.main(["evaluate", "prepare", "--dataset", str(workspace / "raw" / "two"), "--out", str(prepared)])
        == 0
    )
    common = ["--out", str(out)]
    arguments = ["--dataset", str(prepared), "--model", "tiny", "--windows", "2/1.5"]
    models = ["--model-dir", str(workspace / "models")]
    status = cli.main(
        [
            "evaluate",
            "run",
            *arguments,
            *models,
            *common,
            "--methods",
            "B0,P-L5:D",
            "--epochs",
            "1",
            "--jobs",
            "2",
        ]
    )
    printed = capsys.readouterr().out
    assert status == 0
    assert "2/2" in printed
    assert "**other** (1 song)" in printed
    assert "P-L5:D epochs=1" in printed
    assert {"tables.md", "songs.csv", "results.json"} <= {path.name for path in out.iterdir()}
    assert cli.main(["evaluate", "table", *common]) == 0
    assert "**SDR against B0**" in capsys.readouterr().out


def test_the_scores_are_those_of_the_windows():
    random = np.random.default_rng(3)
    truth = random.normal(size=(2, 5 * RATE_HZ, 2))
    truth[0, : 3 * RATE_HZ // 2] = 0
    estimates = truth + 0.1 * random.normal(size=truth.shape)
    estimates[0, : 3 * RATE_HZ // 2] = 0
    scores = SongScorer(["a", "b"], truth, RATE_HZ, ScoringOptions(SISEC, "own")).score(estimates)
    # In the first second b is alone: nothing to separate.
    for stem in ("a", "b"):
        assert np.isnan(scores[stem]["SDR"]).tolist() == [True, False, False, False, False]
    assert scores["a"]["PES"][0] == -80.0
    second = slice(4 * RATE_HZ, 5 * RATE_HZ)
    assert scores["b"]["SDR"][4] == pytest.approx(sdr_db(truth[1, second], estimates[1, second]))
    np.testing.assert_allclose(scores["b"]["SDR"], scores["b"]["plain SDR"], atol=1e-9)
    assert medians(scores)["a"]["PES"] == -80.0
    assert math.isnan(medians(scores)["b"]["PES"])


def test_museval_can_judge_instead():
    random = np.random.default_rng(3)
    truth = random.normal(size=(2, 3 * RATE_HZ, 2))
    estimates = truth + 0.1 * random.normal(size=truth.shape)
    own, theirs = (
        SongScorer(["a", "b"], truth, RATE_HZ, ScoringOptions(SISEC, engine)).score(estimates)
        for engine in ("own", "museval")
    )
    for stem in ("a", "b"):
        for metric in ("SDR", "ISR", "SIR", "SAR"):
            np.testing.assert_allclose(own[stem][metric], theirs[stem][metric], atol=0.02)
