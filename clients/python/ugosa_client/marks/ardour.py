"""Ardour 7 sessions: range markers, `<Location name= start= end= flags="IsRangeMarker"/>`.

Audio time is written `a<ticks>`, 282,240,000 a second, which every usual sample rate divides: frames are
exact. Beat time, `b<ticks>`, needs the tempo map and is refused. Ardour 6 wrote plain samples. The song is
taken to start with the session, at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from ugosa_client.marks.regions import Position, Region

TICKS_PER_S = 282_240_000  # libs/temporal/superclock.cc
RANGE_FLAG = "IsRangeMarker"
OTHER_RANGES = {"IsSessionRange", "IsAutoLoop", "IsAutoPunch"}


def looks_like_ardour(data: bytes) -> bool:
    """Whether it is XML of a session."""
    return data.lstrip()[:1] == b"<" and b"<Session" in data[:4096]


def parse_ardour(data: bytes) -> list[Region]:
    """Read all range markers.

    Raises:
        ValueError: it is no session, or a range is in musical time.
    """
    session = _session(data)
    rate = session.get("sample-rate", "")
    ranges = [location for location in session.iterfind("Locations/Location") if _is_range(location)]
    return [
        Region(
            location.get("name", "").strip(),
            _time(location, "start", rate),
            _time(location, "end", rate),
        )
        for location in ranges
    ]


def format_ardour(regions: Sequence[Region], sample_rate_hz: int | None, into: bytes | None) -> bytes:
    """Return the session with the regions as further range markers.

    Raises:
        ValueError: there is no session to put them into.
    """
    if into is None:
        raise ValueError("Ardour opens range markers only as part of a session; name one with --into")
    session = _session(into)
    locations = session.find("Locations")
    if locations is None:
        locations = ElementTree.SubElement(session, "Locations")
    free_id = int(session.get("id-counter", "0"))
    known = [int(element.get("id", "0")) for element in session.iter() if element.get("id", "0").isdecimal()]
    free_id = max([free_id, *(number + 1 for number in known)])
    for region in regions:
        start, end = (_ticks(position, sample_rate_hz) for position in (region.start, region.end))
        attributes = {"id": str(free_id), "name": region.name, "start": f"a{start}", "end": f"a{end}"}
        attributes |= {"flags": RANGE_FLAG, "locked": "0", "cue": "0", "scene-change": ""}
        ElementTree.SubElement(locations, "Location", attributes)
        free_id += 1
    session.set("id-counter", str(free_id))
    xml: bytes = ElementTree.tostring(session, "utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml + b"\n"


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


def _time(location: ElementTree.Element, field: str, sample_rate: str) -> Position:
    text, name = location.get(field, ""), location.get("name", "")
    if text.startswith("a") and text[1:].isdecimal():
        return Position(Fraction(int(text[1:]), TICKS_PER_S), Fraction(1, TICKS_PER_S))
    if text.isdecimal() and sample_rate.isdecimal() and int(sample_rate) > 0:
        return Position(Fraction(int(text), int(sample_rate)), Fraction(1, int(sample_rate)))
    if text.startswith("b"):
        raise ValueError(
            f"the range {name!r} is glued to bars and beats; untick Glue in the Locations window, and save"
        )
    raise ValueError(f"the range {name!r} has {field} {text!r}, which is no time of Ardour 7")


def _ticks(position: Position, sample_rate_hz: int | None) -> int:
    return int((position.seconds(sample_rate_hz) * TICKS_PER_S + Fraction(1, 2)) // 1)
