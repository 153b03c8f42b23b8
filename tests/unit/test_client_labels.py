"""The grammar of region names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_client.marks.labels import find_source, is_meant_as_mark, parse_label
from ugosa_client.marks.words import ALIASES
from ugosa_client.resources import MarkState

SOURCES = ("drums", "bass", "other", "vocals")


def said(label, sources=SOURCES):
    """Return the states of a label as signs: `+drums -vocals`."""
    states = parse_label(label, sources)
    return " ".join(
        f"{'+' if states[source] is MarkState.ACTIVE else '-'}{source}"
        for source in sources
        if source in states
    )


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("vocals", "+vocals"),
        ("no vocals", "-vocals"),
        ("-vocals", "-vocals"),
        ("- vocals", "-vocals"),
        ("No_Vocals", "-vocals"),
        ("no-vocals", "-vocals"),
        ("WITHOUT VOX", "-vocals"),
        ("!singer", "-vocals"),
        ("only drums", "+drums -bass -other -vocals"),
        ("only drums, bass", "+drums +bass -other -vocals"),
        ("only drums and bass", "+drums +bass -other -vocals"),
        ("only drums, no bass", "+drums -bass -other -vocals"),
        ("drums, vocals", "+drums +vocals"),
        ("-drums, vocals", "-drums +vocals"),
        ("vocals, no drums", "-drums +vocals"),
        ("no drums, no vocals", "-drums -vocals"),
        ("no drums & vocals", "-drums -vocals"),
        ("no drums or bass / vocals", "-drums -bass -vocals"),
        ("Drum", "+drums"),
        ("  kit ,, voice ", "+drums +vocals"),
        ("Bass  Guitar", "+bass"),
        ("no others", "-other"),
        ("mute bass", "-bass"),
        ("VOX out", "-vocals"),
        ("vocals off", "-vocals"),
        ("drums & bass muted", "-drums -bass"),
        ("w/o vocals", "-vocals"),
        ("w/out vocals", "-vocals"),
        ("minus vocals", "-vocals"),
        ("all but vocals", "-vocals"),
        ("vocals tacet", "-vocals"),
        ("\u2013 vocals", "-vocals"),  # a dash where an editor put it
        ("\u2212vocals", "-vocals"),
        ("\u201cno\u00a0vocals\u200b\u201d", "-vocals"),
        ("W/O drums/bass", "-drums -bass"),
        ("instrumental", "-vocals"),
        ("Instrumental, -bass", "-bass -vocals"),
        ("drums only", "+drums -bass -other -vocals"),
        ("drums, bass only", "+drums +bass -other -vocals"),
        ("just drums", "+drums -bass -other -vocals"),
        ("solo vocals", "-drums -bass -other +vocals"),
        ("acapella", "-drums -bass -other +vocals"),
        ("A Cappella", "-drums -bass -other +vocals"),
        ("vocals off, drums", "+drums -vocals"),
    ],
)
def test_labels_say(label, meaning):
    assert said(label) == meaning


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("no vocals, drums", "'no vocals, drums' can mean .* write 'no drums'"),
        ("drums, vocals off", "can mean that drums .* write 'drums off', or put 'vocals off' first"),
        ("no vocals off", "unknown source 'vocals off'"),
        ("drums w/o vocals", "unknown source 'drums without vocals'"),
        ("no guitar", "this model has guitar inside 'other'; htdemucs_6s has its own: .* pull htdemucs_6s"),
        ("only keys", "this model has piano inside 'other'"),
        ("vocals, no vocals", "vocals is both active and silent"),
        ("only drums, no drums", "drums is both"),
        (
            "no vocsal",
            r"unknown source 'vocsal'; did you mean 'vocals'\? the model has drums, bass, other, vocals",
        ),
        ("vix", "did you mean 'vocals'"),
        ("xylophone solo", "unknown source 'xylophone solo'; the model has"),
        ("no", "unknown source 'no'"),
        ("only", "unknown source 'only'"),
        (" , ", "no name"),
    ],
)
def test_labels_that_cannot_be_understood_are_refused(label, message):
    with pytest.raises(ValueError, match=message):
        parse_label(label, SOURCES)


def test_a_models_own_name_comes_before_an_everyday_one():
    assert find_source("keys", ("keys", "piano")) == "keys"
    assert find_source("keys", ("bass", "piano")) == "piano"
    with pytest.raises(ValueError, match="unknown source 'keys'"):
        find_source("keys", ("drums", "vocals"))
    assert said("instrumental", ("vocals", "instrumental")) == "+instrumental"


def test_no_everyday_name_means_two_sources():
    names = [alias for aliases in ALIASES.values() for alias in aliases]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("label", ["no vocls", "without harp", "only kazoo", "durms", "drums, Verse"])
def test_a_slip_is_meant_as_a_mark(label):
    assert is_meant_as_mark(label, SOURCES)


@pytest.mark.parametrize(
    "label", ["Verse 2", "Solo 1", "Fade out", "Just a fill", "Guitar", "Hit", "Time off"]
)
def test_a_section_is_not_meant_as_a_mark(label):
    assert not is_meant_as_mark(label, SOURCES)


@given(st.text(max_size=30))
def test_any_text_is_understood_or_refused(label):
    try:
        states = parse_label(label, SOURCES)
    except ValueError:
        return
    assert states
    assert set(states) <= set(SOURCES)
