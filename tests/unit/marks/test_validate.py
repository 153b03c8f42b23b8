"""Marks that contradict the model, the song or each other are refused with both values named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.errors import BadRegionError, UnknownSourceError
from ugosa_server.marks import Mark, MarkState, validate_marks

SOURCES = ("drums", "bass", "other", "vocals")
ACTIVE, SILENT = MarkState.ACTIVE, MarkState.SILENT


def test_an_unknown_source_is_refused_with_the_nearest_name():
    with pytest.raises(
        UnknownSourceError, match=r'"Vocal".*did you mean "vocals"\? .*drums, bass, other, vocals'
    ):
        validate_marks([Mark("Vocal", SILENT, 0, 10)], SOURCES, 100)


def test_an_unknown_source_like_no_other_gets_no_wild_guess():
    with pytest.raises(UnknownSourceError) as caught:
        validate_marks([Mark("kazoo", SILENT, 0, 10)], SOURCES, 100)
    assert "did you mean" not in caught.value.message
    assert caught.value.metadata == {"source": "kazoo"}


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (0, 91_200, "region of vocals ends at frame 91200, but the song has 88200 frames"),
        (500, 500, "region of vocals is empty: it starts and ends at frame 500"),
        (600, 500, "region of vocals is reversed: it starts at frame 600 and ends at frame 500"),
        (-5, 500, "region of vocals starts at frame -5, but a song starts at frame 0"),
    ],
)
def test_a_region_outside_the_song_is_refused_with_both_values(start, end, message):
    with pytest.raises(BadRegionError, match=f"^{re.escape(message)}$"):
        validate_marks([Mark("vocals", SILENT, start, end)], SOURCES, 88_200)


def test_a_source_cannot_be_active_and_silent_at_once():
    marks = [Mark("bass", ACTIVE, 100, 200), Mark("bass", SILENT, 199, 300)]
    with pytest.raises(
        BadRegionError, match="bass is marked both active and silent in frames 199 to 200; shorten one"
    ):
        validate_marks(marks, SOURCES, 1000)


def test_marks_that_touch_do_not_overlap_and_come_back_sorted():
    marks = [Mark("bass", SILENT, 200, 300), Mark("bass", ACTIVE, 100, 200), Mark("bass", SILENT, 200, 300)]
    assert validate_marks(marks, SOURCES, 300) == (marks[1], marks[0])


regions = st.tuples(st.integers(0, 29), st.integers(1, 30)).filter(lambda region: region[0] < region[1])


@given(
    st.lists(
        st.builds(lambda state, region: Mark("bass", state, *region), st.sampled_from(MarkState), regions)
    )
)
def test_contradiction_is_found_iff_some_frame_is_both(marks):
    frames_of = {
        state: {n for mark in marks if mark.state is state for n in range(mark.start_frame, mark.end_frame)}
        for state in MarkState
    }
    if frames_of[ACTIVE] & frames_of[SILENT]:
        with pytest.raises(BadRegionError):
            validate_marks(marks, SOURCES, 30)
    else:
        assert marks_of_frames(frames_of) == list(validate_marks(marks, SOURCES, 30))


def marks_of_frames(frames_of):
    """The fewest marks that hold these frames, in the order of marks."""
    marks = []
    for state, frames in frames_of.items():
        starts = sorted(n for n in frames if n - 1 not in frames)
        ends = sorted(n + 1 for n in frames if n + 1 not in frames)
        marks += [Mark("bass", state, *span) for span in zip(starts, ends, strict=True)]
    return sorted(marks)
