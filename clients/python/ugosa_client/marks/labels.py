"""Grammar of region names: states of sources from the words of a musician.

    vocals                 vocals are active here
    no vocals, -vocals     vocals are silent here (also: without, w/o, not, mute, minus, !)
    vocals off             the same (also: out, muted, silent, tacet)
    all but drums          drums are silent here (also: everything but, except)
    only drums             drums are active here, all other sources silent (also: just, solo)
    drums only             the same
    instrumental           no vocals; and `acapella` is only vocals
    drums, -bass           a list: each item says something
    no bass and drums      `and`, `&`, `+`, `or`, `/` join names under one word
    only drums, bass       with `only`, a list belongs together

Case, plural and everyday names ("kit", "vox", "singer") are forgiven. `no vocals, drums` and
`drums, vocals off` can be read in two ways and are refused. The words are in `words.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from ugosa_client.marks.words import (
    ALIASES,
    LOOK_ALIKES,
    MODELS_WITH,
    ONLY_AFTER,
    ONLY_BEFORE,
    PHRASES,
    SILENT_AFTER,
    SILENT_BEFORE,
    SPELLED_OUT,
    SURE_BEFORE,
)
from ugosa_client.resources import MarkState

JOINED = re.compile(r"\s+(?:and|or)\s+|\s*[&+/]\s*", re.IGNORECASE)
SIGN = re.compile(r"(?P<word>[-!])\s*(?P<names>\S.*)", re.DOTALL)
HINT_LETTERS = 3  # a name may differ in one letter of so many to be proposed
SLIP_LETTERS = 4  # and of so many to be taken for a slip: "vocls" is one, "verse" is another word


class UnknownNameError(ValueError):
    """A name that is no source of the model, nor an everyday name of one."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.message = message
        """Statement of the fault."""
        self.fix = fix
        """Another way out than to rename the region; empty = none."""


class Says(StrEnum):
    """Meaning of an item for the sources that it names."""

    PLAYS = "plays"
    """They are active."""
    SILENT = "silent"
    """They are silent."""
    ONLY = "only"
    """They are active, and all others silent."""


@dataclass(frozen=True)
class Item:
    """One item of a label, taken apart."""

    names: str
    """Names of sources, joined."""
    says: Says = Says.PLAYS
    """Meaning for these."""
    word: str = ""
    """The word or sign that says so, in lower case; empty = none."""
    is_after: bool = False
    """Whether the word stands after the names."""

    @property
    def is_sure(self) -> bool:
        """True if it is a mark whatever its names are."""
        return not self.is_after and (self.word in ("-", "!") or self.word in SURE_BEFORE)


def parse_label(label: str, sources: Sequence[str]) -> dict[str, MarkState]:
    """Return the state of each source that a region name speaks of.

    Raises:
        ValueError: it speaks of an unknown source, contradicts itself, or can be read in two ways.
    """
    items = [_expanded(item, sources) for item in _items(label)]
    if not items:
        raise ValueError(f"the region has no name; call it for example {_first_example(sources)}")
    states: dict[str, MarkState] = {}
    only: list[str] = []
    said_only = False
    negated = plain = ""  # an item that a negation may reach beyond, and one that it may reach
    for text in items:
        item = _read_item(text, sources)
        found = _names(item.names, sources)
        if item.says is Says.ONLY:
            if item.is_after:  # "drums, bass only"
                only += [source for source, state in states.items() if state is MarkState.ACTIVE]
            said_only = True
            only += found
        elif item.says is Says.PLAYS and said_only:
            only += found
        elif item.says is Says.PLAYS:
            if negated:
                raise _two_readings(label, text, f"no {text}", text)
            plain = plain or text
            _say(states, found, MarkState.ACTIVE, label)
        else:
            if plain and item.is_after:
                raise _two_readings(label, plain, f"{plain} {item.word}", text)
            if item.word not in ("-", "!") and not item.is_after:
                negated = text
            _say(states, found, MarkState.SILENT, label)
    if said_only:
        for source in sources:
            _say(states, [source], MarkState.ACTIVE if source in only else MarkState.SILENT, label)
    return states


def find_source(name: str, sources: Sequence[str]) -> str:
    """Return the source that a musician means by a name.

    Raises:
        UnknownNameError: none; the message names the nearest, or the model that has it.
    """
    known = _known_names(tuple(sources))
    folded = _fold(name)
    if folded in known:
        return known[folded]
    instrument = _known_names(tuple(MODELS_WITH)).get(folded)
    if instrument is not None and "other" in sources:
        model = MODELS_WITH[instrument]
        raise UnknownNameError(
            f"this model has {instrument} inside 'other'",
            f"{model} has its own: ugosa-server models pull {model}",
        )
    near = _nearest(folded, known, HINT_LETTERS)
    hint = f"did you mean {known[near]!r}? " if near else ""
    raise UnknownNameError(f"unknown source {name!r}; {hint}the model has {', '.join(sources)}")


def is_meant_as_mark(label: str, sources: Sequence[str]) -> bool:
    """Return whether an unknown name is a mark with a slip, not a section such as "Verse 2"."""
    known = _known_names(tuple(sources))
    for text in _items(label):
        item = _read_item(text, sources)
        names = [_fold(name) for name in JOINED.split(item.names)]
        if item.is_sure or any(_nearest(name, known, SLIP_LETTERS) for name in names):
            return True
    return False


def says_more_than_names(label: str) -> bool:
    """Return whether a name negates or excludes some instrument that a model may have."""
    for text in _items(label):
        item = _read_item(text, ())
        is_of_instruments = all(is_instrument(name) for name in JOINED.split(item.names))
        if _fold(text) in _PHRASES or item.is_sure or (item.word and is_of_instruments):
            return True
    return False


def is_instrument(name: str) -> bool:
    """Return whether a name is that of an instrument that some model may have."""
    return _fold(name) in _known_names(tuple(ALIASES))


def is_one_name(label: str) -> bool:
    """Return whether it could be the name of one instrument, as that of a lane is."""
    return bool(label) and not ("," in label or says_more_than_names(label) or JOINED.search(label))


def without_word(label: str) -> str:
    """Return the names of a label of one item, without the word or sign that stands by them."""
    return _read_item(label.strip(), ()).names


def _items(label: str) -> list[str]:
    label = label.translate(_LOOK_ALIKES)
    for short, word in SPELLED_OUT.items():
        label = re.sub(rf"(?<![A-Za-z0-9]){short}(?![A-Za-z0-9])", word, label, flags=re.IGNORECASE)
    return [item.strip() for item in label.split(",") if item.strip()]


def _expanded(item: str, sources: Sequence[str]) -> str:
    folded = _fold(item)
    return item if folded in _known_names(tuple(sources)) else _PHRASES.get(folded, item)


def _read_item(text: str, sources: Sequence[str]) -> Item:
    """Part an item into names and the word by them; a name of the model stands for itself."""
    if _fold(text) in _known_names(tuple(sources)):
        return Item(text)
    if match := SIGN.fullmatch(text):
        return Item(match["names"], Says.SILENT, match["word"])
    for says, pattern, is_after in _FORMS:
        if match := pattern.fullmatch(text):
            return Item(match["names"], says, match["word"].lower(), is_after)
    return Item(text)


def _before(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?P<word>{'|'.join(words)})[\s_\-]+(?P<names>[^\s_\-].*)", re.I | re.DOTALL)


def _after(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?P<names>.*[^\s_\-])[\s_\-]+(?P<word>{'|'.join(words)})", re.I | re.DOTALL)


_FORMS = (
    (Says.SILENT, _before(SILENT_BEFORE), False),
    (Says.ONLY, _before(ONLY_BEFORE), False),
    (Says.SILENT, _after(SILENT_AFTER), True),
    (Says.ONLY, _after(ONLY_AFTER), True),
)


def _names(text: str, sources: Sequence[str]) -> list[str]:
    return [find_source(name.strip(), sources) for name in JOINED.split(text)]


def _say(states: dict[str, MarkState], sources: Sequence[str], state: MarkState, label: str) -> None:
    for source in sources:
        if states.setdefault(source, state) is not state:
            raise ValueError(f"{label!r} says that {source} is both active and silent")


def _two_readings(label: str, item: str, negated: str, first: str) -> ValueError:
    return ValueError(
        f"{label!r} can mean that {item} is silent or that it plays; "
        f"write {negated!r}, or put {first!r} first"
    )


@lru_cache(maxsize=64)
def _known_names(sources: tuple[str, ...]) -> Mapping[str, str]:
    """Return the source of each folded name; a model's own names come before everyday ones."""
    known: dict[str, str] = {}
    for source in sources:
        for alias in ALIASES.get(source, ()):
            known.setdefault(_fold(alias), source)
    return known | {_fold(source): source for source in sources}


def _nearest(folded: str, known: Mapping[str, str], letters_per_slip: int) -> str | None:
    """Return the known name with the fewest slips, if these are few for its length."""
    found = []
    for name in known:
        limit = len(name) // letters_per_slip
        if abs(len(name) - len(folded)) <= limit and (slips := _distance(folded, name)) <= limit:
            found.append((slips, name))
    return min(found)[1] if found else None


def _distance(a: str, b: str) -> int:
    """Return the edit distance of two words: letters inserted, deleted, replaced or swapped."""
    before, last, row = [0], [0], list(range(len(b) + 1))
    for i in range(1, len(a) + 1):
        before, last, row = last, row, [i]
        for j in range(1, len(b) + 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                row[j] = min(row[j], before[j - 2] + 1)
    return row[-1]


def _fold(name: str) -> str:
    """Return a name without case, plural, hyphens and doubled blanks."""
    folded = " ".join(re.split(r"[\s_\-]+", name.casefold().strip()))
    return folded[:-1] if folded.endswith("s") and not folded.endswith("ss") else folded


def _first_example(sources: Sequence[str]) -> str:
    return f"{sources[0]!r} or 'no {sources[0]}'" if sources else "'no vocals'"


_LOOK_ALIKES = {ord(letter): meant for letter, meant in LOOK_ALIKES.items()}
_PHRASES = {_fold(phrase): label for phrase, label in PHRASES.items()}
