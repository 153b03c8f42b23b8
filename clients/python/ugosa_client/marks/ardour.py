"""Ardour 7 sessions: range markers, `<Location name= start= end= flags="IsRangeMarker"/>`.

Audio time is written `a<ticks>`, 282,240,000 a second, which every usual sample rate divides: frames are
exact. Beat time, `b<ticks>`, needs the tempo map and is refused. Ardour 6 wrote plain samples. The song is
taken to start with the session, at 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from ugosa_client.marks.labels import is_meant_as_mark
from ugosa_client.marks.regions import MAX_NUMBER_LETTERS, Position, Region, rounded, whole_number
from ugosa_client.marks.words import ALIASES
from ugosa_client.marks.xml_insertion import element, insert_children, start_tag

TICKS_PER_S = 282_240_000  # libs/temporal/superclock.cc
RANGE_FLAG = "IsRangeMarker"
ID_COUNTER = re.compile(rb"""\bid-counter\s*=\s*(?:"[0-9]*"|'[0-9]*')""")
OTHER_RANGES = {"IsSessionRange", "IsAutoLoop", "IsAutoPunch"}


def looks_like(data: bytes) -> bool:
    """Return whether the data is XML of a session."""
    return data.lstrip()[:1] == b"<" and b"<Session" in data[:4096]


def parse(data: bytes) -> list[Region]:
    """Read all range markers.

    Raises:
        ValueError: it is no session, or a range that is meant as a mark is in musical time.
    """
    session = _session(data)
    rate = session.get("sample-rate", "")
    return [
        _region(location, rate) for location in session.iterfind("Locations/Location") if _is_range(location)
    ]


def write(regions: Sequence[Region], sample_rate_hz: int | None, into: bytes | None) -> bytes:
    """Return the session with a range marker more for each region, and its id counter raised.

    Raises:
        ValueError: there is no session to put them into.
    """
    if into is None:
        raise ValueError("Ardour opens range markers only as part of a session; name one with --into")
    session = _session(into)
    known = [whole_number(element.get("id", "0")) for element in session.iter()]
    free_id = max([whole_number(session.get("id-counter", "0")), *(number + 1 for number in known)])
    ranges = []
    for range_id, region in enumerate(regions, start=free_id):
        start, end = (rounded(p.seconds(sample_rate_hz) * TICKS_PER_S) for p in (region.start, region.end))
        attributes = {"id": str(range_id), "name": region.name, "start": f"a{start}", "end": f"a{end}"}
        attributes |= {"flags": RANGE_FLAG, "locked": "0", "cue": "0", "scene-change": ""}
        ranges.append(element("Location", attributes))
    if session.find("Locations") is None:
        into = insert_children(into, ["Session"], [f"<Locations>{''.join(ranges)}</Locations>"])
    else:
        into = insert_children(into, ["Session", "Locations"], ranges)
    return with_id_counter(into, free_id + len(regions))


def with_id_counter(session: bytes, next_id: int) -> bytes:
    """Return the session with the id that Ardour is to give next."""
    start, end = start_tag(session, "Session")
    counter = b'id-counter="%d"' % next_id
    return session[:start] + ID_COUNTER.sub(counter, session[start:end], count=1) + session[end:]


def _session(data: bytes) -> ElementTree.Element:
    try:
        session = ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise ValueError(f"it is not XML that can be read: {error}") from None
    if session.tag != "Session":
        raise ValueError(f"it is no Ardour session, but <{session.tag}>")
    return session


def _is_range(location: ElementTree.Element) -> bool:
    flags = set(location.get("flags", "").split(","))
    return RANGE_FLAG in flags and not flags & OTHER_RANGES


def _region(location: ElementTree.Element, sample_rate: str) -> Region:
    name = location.get("name", "").strip()
    try:
        start, end = (_time(location, field, sample_rate) for field in ("start", "end"))
    except ValueError:
        if is_meant_as_mark(name, tuple(ALIASES)):
            raise
        start = end = Position(Fraction(0))  # it is left out whatever its time
    return Region(name, start, end, named_freely=True)


def _time(location: ElementTree.Element, field: str, sample_rate: str) -> Position:
    text, name = location.get(field, ""), location.get("name", "")
    if len(text) > MAX_NUMBER_LETTERS:
        raise ValueError(f"the range {name!r} has a {field} of {len(text)} letters, which is no time")
    if text.startswith("a") and text[1:].isdecimal():
        return Position(Fraction(int(text[1:]), TICKS_PER_S), Fraction(1, TICKS_PER_S))
    if text.isdecimal() and (rate_hz := whole_number(sample_rate)) > 0:
        return Position(Fraction(int(text), rate_hz), Fraction(1, rate_hz))
    if text.startswith("b"):
        raise ValueError(
            f"the range {name!r} is glued to bars and beats; untick Glue in the Locations window, and save"
        )
    raise ValueError(f"the range {name!r} has {field} {text!r}, which is no time of Ardour 7")
