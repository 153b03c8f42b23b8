"""Suggested marks scored frame by frame, and the whole way through the job pipeline."""

import numpy as np
import pytest
import soundfile

from tests.helpers.songs import SOURCES
from tests.helpers.tiny_model import write_tiny_model
from ugosa_research.evaluation.datasets import StemGroup
from ugosa_research.evaluation.marks_files import write_marks
from ugosa_research.evaluation.preparation import EXACT_MARKS, MIX_FILE, PreparedSong
from ugosa_research.evaluation.suggestion_scores import (
    FrameCounts,
    hear,
    score_dataset,
    score_source,
    suggestion_table,
)
from ugosa_server.config import WorkerSettings
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.registry import read_model_info
from ugosa_server.pipeline.resident import ResidentNetworks

ACTIVE, SILENT = MarkState.ACTIVE, MarkState.SILENT


def test_frames_count_once_and_unmarked_ones_as_missed():
    annotated = [Mark("bass", SILENT, 0, 100), Mark("bass", ACTIVE, 100, 200)]
    suggested = [
        Mark("bass", SILENT, 20, 60),
        Mark("bass", SILENT, 50, 110),
        Mark("bass", ACTIVE, 150, 200),
        Mark("drums", SILENT, 0, 200),
    ]
    score = score_source("song", "bass", suggested, annotated)
    assert score.silent == FrameCounts(suggested=90, so=100, both=80)
    assert score.silent.precision == pytest.approx(8 / 9)
    assert score.silent.recall == pytest.approx(0.8)
    assert score.silent.f1 == pytest.approx(2 * (8 / 9) * 0.8 / (8 / 9 + 0.8))
    assert score.active == FrameCounts(suggested=50, so=100, both=50)


def test_frames_that_the_annotation_leaves_open_count_nowhere():
    annotated = [Mark("bass", SILENT, 0, 100), Mark("drums", SILENT, 0, 200)]
    score = score_source("song", "bass", [Mark("bass", SILENT, 20, 150)], annotated)
    assert score.silent == FrameCounts(suggested=80, so=100, both=80)


def test_a_class_that_is_nowhere_has_no_score():
    counts = score_source("song", "bass", [], [Mark("bass", ACTIVE, 0, 10)]).silent
    assert (counts.precision, counts.recall, counts.f1) == (None, None, None)


def test_the_table_sums_frames_over_songs():
    annotated = [Mark("bass", SILENT, 0, 100)]
    scores = [
        score_source("a", "bass", annotated, annotated),
        score_source("b", "bass", [], annotated),
    ]
    assert "| bass | 2 | 1.00 | 0.50 | 0.67 | - | - | - |" in suggestion_table(scores)


def test_songs_are_analysed_as_by_a_server_without_shared_stems(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, (88200, 2))
    soundfile.write(tmp_path / MIX_FILE, samples, 44100, subtype="FLOAT")
    marks = [Mark("other", ACTIVE, 0, 88200)]
    write_marks(tmp_path / EXACT_MARKS, marks, 44100)
    stems = (
        StemGroup("other", ("other",), "other.wav"),
        StemGroup("rest", ("drums", "bass", "vocals"), "r.wav"),
    )
    song = PreparedSong("noise", tmp_path, 88200, 44100, stems)
    model = read_model_info(write_tiny_model(tmp_path / "tiny.safetensors"))
    networks = ResidentNetworks(WorkerSettings("cpu"))
    levels = hear(song, model, networks)
    assert tuple(levels.sources_dbfs) == SOURCES
    assert levels.mix_dbfs[0] == pytest.approx(-20, abs=0.5)
    (score,) = score_dataset([song], model, networks)
    assert (score.source, score.active.so) == ("other", 88200)
