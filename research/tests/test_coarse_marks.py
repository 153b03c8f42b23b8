"""Careless marks: short silences overlooked, edges off, some forgotten, and never a contradiction."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_research.evaluation.coarse_marks import Carelessness, coarse_marks
from ugosa_server.marks import Mark, MarkSet, MarkState, validate_marks

RATE_HZ = 100
FRAMES = 6000
SOURCES = ("drums", "vocals")
CAREFUL = Carelessness(min_silence_s=0.0, min_sound_s=0.0, jitter_s=0.0, drop_share=0.0)


def silent(start, stop, source="vocals"):
    return Mark(source, MarkState.SILENT, start, stop)


def spans(marks, how, seed=0):
    coarse = coarse_marks(marks, SOURCES, FRAMES, RATE_HZ, seed, how)
    return list(MarkSet(coarse).silent("vocals"))


def test_a_careful_person_marks_what_is_silent():
    marks = [silent(100, 400), silent(900, 950), Mark("vocals", MarkState.ACTIVE, 400, 900)]
    assert spans(marks, CAREFUL) == [(100, 400), (900, 950)]


def test_short_silences_are_overlooked():
    assert spans([silent(100, 400), silent(900, 950)], replace(CAREFUL, min_silence_s=1.0)) == [(100, 400)]


def test_short_sounds_between_silences_are_overlooked():
    marks = [silent(100, 400), silent(430, 800), silent(900, 990)]
    assert spans(marks, replace(CAREFUL, min_sound_s=0.5)) == [(100, 800), (900, 990)]


def test_a_beat_is_no_silence():
    rests = [silent(start, start + 5) for start in range(300, 2000, 45)]
    assert spans([silent(0, 260), *rests], Carelessness(jitter_s=0.0, drop_share=0.0)) == [(0, 260)]


def test_edges_jitter_except_at_the_ends_of_the_song():
    marks = [silent(0, 500), silent(1000, 2000), silent(5000, FRAMES)]
    shifts = []
    for seed in range(200):
        first, middle, last = spans(marks, replace(CAREFUL, jitter_s=0.2), seed)
        assert first[0] == 0
        assert last[1] == FRAMES
        shifts += [first[1] - 500, middle[0] - 1000, middle[1] - 2000, last[0] - 5000]
    spread = (sum(shift**2 for shift in shifts) / len(shifts)) ** 0.5
    assert spread == pytest.approx(0.2 * RATE_HZ, rel=0.1)


def test_some_silences_are_forgotten():
    marks = [silent(start, start + 200) for start in range(0, FRAMES, 300)]
    kept = [len(spans(marks, replace(CAREFUL, drop_share=0.25), seed)) for seed in range(50)]
    assert sum(kept) / (50 * len(marks)) == pytest.approx(0.75, abs=0.05)


@given(
    edges=st.lists(st.tuples(st.integers(0, FRAMES - 1), st.integers(1, 900)), max_size=8),
    seed=st.integers(0, 2**32),
)
def test_careless_marks_are_valid_and_never_silence_all(edges, seed):
    marks = [
        silent(start, min(start + length, FRAMES), SOURCES[number % 2])
        for number, (start, length) in enumerate(edges)
    ]
    coarse = coarse_marks(marks, SOURCES, FRAMES, RATE_HZ, seed)
    assert validate_marks(coarse, SOURCES, FRAMES) == coarse
    drums, vocals = (list(MarkSet(coarse).silent(source)) for source in SOURCES)
    assert not any(a < d and c < b for a, b in drums for c, d in vocals)
