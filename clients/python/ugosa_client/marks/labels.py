"""The grammar of region names: what a musician writes on a region, and what it says of which sources.

    vocals                 vocals are active here
    no vocals, -vocals     vocals are silent here (also: without, not, !)
    only drums             drums are active here, all other sources silent
    drums, -bass           a list: each item says something
    no bass and drums      `and`, `&`, `+`, `or`, `/` join names under one word
    only drums, bass       after `only`, a list belongs together

Case, plural and everyday names ("kit", "vox", "singer") are forgiven. `no vocals, drums` can be read in two
ways and is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from ugosa_client.marks.words import ALIASES
from ugosa_client.resources import MarkState

NEGATION = re.compile(r"(?:(-|!)\s*|(no|not|without)[\s_\-]+)(?=\S)", re.IGNORECASE)
ONLY = re.compile(r"only[\s_\-]+(?=\S)", re.IGNORECASE)
JOINED = re.compile(r"\s+(?:and|or)\s+|\s*[&+/]\s*", re.IGNORECASE)


MISSPELT_RATIO = 0.75  # of difflib: "vocls" is a slip, "verse" is another word


class UnknownNameError(ValueError):
    """A name that is no source of the model, nor an everyday name of one."""

    def __init__(self, message: str, is_misspelt: bool) -> None:
        super().__init__(message)
        self.is_misspelt = is_misspelt
        """Whether it looks like a slip in the name of a source."""


def says_more_than_names(label: str) -> bool:
    """Whether a name negates or excludes something, and so speaks of instruments."""
    return any(NEGATION.match(item) or ONLY.match(item) for item in map(str.strip, label.split(",")))


def is_instrument(name: str) -> bool:
    """Whether a name is that of an instrument that some model may have."""
    try:
        find_source(name, tuple(ALIASES))
    except UnknownNameError:
        return False
    return True


def is_one_name(label: str) -> bool:
    """Whether it could be the name of one instrument, as that of a lane is."""
    return bool(label) and not ("," in label or says_more_than_names(label) or JOINED.search(label))


def parse_label(label: str, sources: Sequence[str]) -> dict[str, MarkState]:
    """Return what a region name says of each source that it speaks of.

    Raises:
        ValueError: it speaks of an unknown source, contradicts itself, or can be read in two ways.
    """
    items = [item.strip() for item in label.split(",") if item.strip()]
    if not items:
        raise ValueError(f"the region has no name; call it for example {_first_example(sources)}")
    states: dict[str, MarkState] = {}
    only: list[str] = []
    said_only = said_no = False
    for item in items:
        if match := ONLY.match(item):
            said_only = True
            only += _names(item[match.end() :], sources)
            continue
        match = NEGATION.match(item)
        if match is None and said_only:
            only += _names(item, sources)
            continue
        if match is None and said_no:
            raise ValueError(
                f"{label!r} can mean that {item} is silent or that it plays; "
                f"write 'no {item}', or put {item!r} first"
            )
        said_no = said_no or (match is not None and match.group(2) is not None)
        state = MarkState.ACTIVE if match is None else MarkState.SILENT
        for source in _names(item[match.end() :] if match else item, sources):
            _say(states, source, state, label)
    if said_only:
        for source in sources:
            _say(states, source, MarkState.ACTIVE if source in only else MarkState.SILENT, label)
    return states


def find_source(name: str, sources: Sequence[str]) -> str:
    """Return the source that a musician means by a name.

    Raises:
        UnknownNameError: none; the message names the nearest.
    """
    known: dict[str, str] = {}
    for source in sources:
        for alias in ALIASES.get(source, ()):
            known.setdefault(_fold(alias), source)
    for source in sources:  # a model's own names come before everyday ones
        known[_fold(source)] = source
    folded = _fold(name)
    if folded in known:
        return known[folded]
    near = difflib.get_close_matches(folded, known, n=1, cutoff=0.5)
    hint = f"did you mean {known[near[0]]!r}? " if near else ""
    is_misspelt = bool(difflib.get_close_matches(folded, known, n=1, cutoff=MISSPELT_RATIO))
    raise UnknownNameError(f"unknown source {name!r}; {hint}the model has {', '.join(sources)}", is_misspelt)


def _names(text: str, sources: Sequence[str]) -> list[str]:
    return [find_source(name.strip(), sources) for name in JOINED.split(text)]


def _say(states: dict[str, MarkState], source: str, state: MarkState, label: str) -> None:
    if states.setdefault(source, state) is not state:
        raise ValueError(f"{label!r} says that {source} is both active and silent")


def _fold(name: str) -> str:
    """Forgive case, plural, hyphens and doubled blanks."""
    folded = " ".join(re.split(r"[\s_\-]+", name.casefold().strip()))
    return folded[:-1] if folded.endswith("s") and not folded.endswith("ss") else folded


def _first_example(sources: Sequence[str]) -> str:
    return f"{sources[0]!r} or 'no {sources[0]}'" if sources else "'no vocals'"
