"""The instruments that play: by the list, else by the marks, else all."""

import pytest

from ugosa_server.errors import BadOptionError
from ugosa_server.marks import (
    Mark,
    MarkSet,
    MarkState,
    check_marks_of_absent,
    marks_of_ensemble,
    playing_sources,
    validate_instruments,
)

SOURCES = ("cello", "flute", "viola", "violin")
STEMS = (*SOURCES, "residual")
FRAMES = 100


def mark(source, state="silent", start=10, end=20):
    return Mark(source, MarkState(state), start, end)


@pytest.mark.parametrize(
    ("instruments", "marks", "playing"),
    [
        ((), (), SOURCES),
        (("violin",), (), ("violin",)),
        (("violin",), (mark("cello"), mark("violin")), ("violin",)),
        ((), (mark("violin"), mark("cello", "active")), ("cello", "violin")),
        ((), (mark("violin"), mark("flute", start=0, end=FRAMES)), ("violin",)),
        ((), (mark("flute", start=0, end=60), mark("flute", start=60, end=FRAMES)), SOURCES),
        ((), (mark("residual"),), SOURCES),
        ((), (mark("cello"), mark("flute"), mark("viola"), mark("violin", "active")), SOURCES),
    ],
)
def test_playing_sources(instruments, marks, playing):
    assert playing_sources(instruments, MarkSet(marks), SOURCES, FRAMES) == playing


def test_a_list_comes_back_in_model_order_each_name_once():
    assert validate_instruments(("violin", "cello", "violin"), SOURCES, STEMS, "m") == ("cello", "violin")
    assert validate_instruments((), SOURCES, STEMS, "m") == ()


@pytest.mark.parametrize(
    ("instruments", "stems", "message"),
    [
        (("Violin",), STEMS, "'m' has no instrument 'Violin'; did you mean 'violin'"),
        (("piano",), STEMS, "it has cello, flute, viola, violin"),
        (("residual",), STEMS, "no instrument 'residual'"),
        (("violin",), SOURCES, "has no choice of instruments: it always gives cello"),
    ],
)
def test_impossible_lists_are_refused(instruments, stems, message):
    with pytest.raises(BadOptionError, match=message):
        validate_instruments(instruments, SOURCES, stems, "m")


def test_an_absent_instrument_may_be_silent_but_not_active():
    check_marks_of_absent((mark("flute"), mark("violin", "active")), ("violin",), SOURCES)
    check_marks_of_absent((mark("flute", "active"),), (), SOURCES)
    with pytest.raises(
        BadOptionError, match=r"flute is marked active.*add flute to them, or remove the mark"
    ):
        check_marks_of_absent((mark("flute", "active"),), ("violin",), SOURCES)


def test_absent_sources_are_silent_throughout():
    marks = MarkSet((mark("violin"), mark("flute", "active"), mark("residual")))
    found = marks_of_ensemble(marks, ("cello", "violin"), SOURCES, FRAMES)
    assert set(found.marks) == {
        mark("violin"),
        mark("residual"),
        mark("flute", start=0, end=FRAMES),
        mark("viola", start=0, end=FRAMES),
    }
    assert marks_of_ensemble(marks, SOURCES, SOURCES, FRAMES) == marks
