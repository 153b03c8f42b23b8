"""Suggestions say what the levels say, and are marks that a job takes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.marks import MarkState, SongLevels, suggest_marks, validate_marks
from ugosa_server.marks.suggest import MIN_SILENT_S, SURE, otsu_threshold

RATE_HZ = 1000
HOP = 50
SOURCES = ("drums", "vocals")


def levels_of(**sources):
    """Levels from lists of (seconds, dBFS) for each source; the mix is their sum."""
    rows = {
        source: np.concatenate([np.full(round(seconds * RATE_HZ / HOP), dbfs) for seconds, dbfs in parts])
        for source, parts in sources.items()
    }
    mix = 10 * np.log10(sum(10 ** (row / 10) for row in rows.values()))
    return SongLevels(
        "abc", RATE_HZ, len(mix) * HOP, HOP, tuple(mix), {name: tuple(row) for name, row in rows.items()}
    )


def spans(suggestions, source, state):
    return [
        (s.mark.start_frame / RATE_HZ, s.mark.end_frame / RATE_HZ)
        for s in suggestions
        if s.mark.source == source and s.mark.state is state
    ]


def test_a_source_that_drops_far_below_the_mix_is_silent_there():
    found = suggest_marks(levels_of(drums=[(30, -20)], vocals=[(10, -20), (10, -60), (10, -20)]))
    assert spans(found, "vocals", MarkState.SILENT) == [(10.5, 19.5)]
    assert spans(found, "vocals", MarkState.ACTIVE) == [(0.0, 10.25), (19.75, 30.0)]
    assert spans(found, "drums", MarkState.ACTIVE) == [(0.0, 30.0)]
    assert spans(found, "drums", MarkState.SILENT) == []
    assert all(SURE <= suggestion.confidence <= 1.0 for suggestion in found)


def test_a_source_that_never_sounds_is_silent_throughout():
    found = suggest_marks(levels_of(drums=[(30, -20)], vocals=[(30, -58)]))
    assert spans(found, "vocals", MarkState.SILENT) == [(0.0, 30.0)]


def test_what_the_levels_leave_open_stays_unmarked():
    found = suggest_marks(levels_of(drums=[(30, -20)], vocals=[(10, -20), (10, -36), (10, -60)]))
    assert spans(found, "vocals", MarkState.ACTIVE) == [(0.0, 10.25)]
    ((start, stop),) = spans(found, "vocals", MarkState.SILENT)
    assert 20.0 < start < 20.6
    assert stop == 30.0


def test_fragments_of_one_silence_are_one_suggestion():
    parts = [(10, -20), (4, -60), (0.8, -37), (4, -60), (10, -20)]  # -37: less likely to play than not
    found = suggest_marks(levels_of(drums=[(28.8, -20)], vocals=parts))
    assert len(spans(found, "vocals", MarkState.SILENT)) == 1
    parts[2] = (0.8, -20)
    found = suggest_marks(levels_of(drums=[(28.8, -20)], vocals=parts))
    assert len(spans(found, "vocals", MarkState.SILENT)) == 2


def test_the_otsu_threshold_lies_between_two_heaps():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(-30, 1, 100), random.normal(-4, 1, 300)])
    assert -18 < otsu_threshold(random.permutation(values)) < -16
    assert otsu_threshold(np.array([3.0])) == 0.0


def test_a_rest_between_two_notes_is_no_silence():
    found = suggest_marks(levels_of(drums=[(30, -20)], vocals=[(10, -20), (0.3, -80), (19.7, -20)]))
    assert spans(found, "vocals", MarkState.SILENT) == []


def test_silence_of_the_whole_mix_is_not_marked():
    quiet = [(10, -110), (10, -20)]
    found = suggest_marks(levels_of(drums=quiet, vocals=quiet))
    assert all(suggestion.mark.state is MarkState.ACTIVE for suggestion in found)


@given(
    st.lists(st.lists(st.integers(-120, 0), min_size=1, max_size=400), min_size=1, max_size=4).map(
        lambda rows: [row[: min(map(len, rows))] for row in rows]
    ),
    st.integers(0, HOP - 1),
)
def test_suggestions_are_marks_that_a_job_takes(rows, missing):
    rows = {name: tuple(map(float, row)) for name, row in zip("abcd", rows, strict=False)}
    n_hops = len(next(iter(rows.values())))
    mix = tuple(float(max(column)) for column in zip(*rows.values(), strict=True))
    levels = SongLevels("abc", RATE_HZ, n_hops * HOP - missing, HOP, mix, rows)
    found = suggest_marks(levels)
    validate_marks([suggestion.mark for suggestion in found], tuple(rows), levels.frames)
    for suggestion in found:
        assert 0.5 <= suggestion.confidence <= 1.0
        if suggestion.mark.state is MarkState.SILENT:
            length = suggestion.mark.end_frame - suggestion.mark.start_frame
            assert length >= MIN_SILENT_S * RATE_HZ


def test_suggestions_never_call_every_source_silent_at_once():
    alternating = {"drums": [(10, -20), (10, -70)], "vocals": [(10, -20), (10, -70)]}
    found = suggest_marks(levels_of(**alternating, other=[(20, -120)]))
    silent = np.zeros((3, 20 * RATE_HZ), bool)
    for row, source in zip(silent, ("drums", "vocals", "other"), strict=True):
        for start, stop in spans(found, source, MarkState.SILENT):
            row[int(start * RATE_HZ) : int(stop * RATE_HZ)] = True
    assert silent.any()
    assert not silent.all(axis=0).any()


def test_no_levels_of_note_give_no_suggestions():
    assert suggest_marks(levels_of(drums=[(0.05, -20)], vocals=[(0.05, -20)])) == []
