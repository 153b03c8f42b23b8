"""The grammar of region names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_client.marks.labels import find_source, parse_label
from ugosa_client.marks.words import ALIASES
from ugosa_client.resources import MarkState

SOURCES = ("drums", "bass", "other", "vocals")


def said(label, sources=SOURCES):
    """What a label says, as signs: `+drums -vocals`."""
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
    ],
)
def test_labels_say(label, meaning):
    assert said(label) == meaning


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("no vocals, drums", "'no vocals, drums' can mean .* write 'no drums'"),
        ("vocals, no vocals", "vocals is both active and silent"),
        ("only drums, no drums", "drums is both"),
        (
            "no vocles",
            r"unknown source 'vocles'; did you mean 'vocals'\? the model has drums, bass, other, vocals",
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
        find_source("keys", SOURCES)


def test_no_everyday_name_means_two_sources():
    names = [alias for aliases in ALIASES.values() for alias in aliases]
    assert len(names) == len(set(names))


@given(st.text(max_size=30))
def test_any_text_is_understood_or_refused(label):
    try:
        states = parse_label(label, SOURCES)
    except ValueError:
        return
    assert states
    assert set(states) <= set(SOURCES)
