"""Ableton Live sets (.als): gzipped XML whose locators are points in beats.

A region is a pair of locators, `vocals start` and `vocals end` (or `begin`, `stop`). Beats become seconds
along the tempo automation, which is linear between its points; a jump is two points at one beat. The song is
taken to start with the arrangement, at beat 0. Ramps need a logarithm, so positions are those of float64: far
below one frame.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from ugosa_client.marks.labels import is_meant_as_mark
from ugosa_client.marks.regions import Position, Region, whole_number
from ugosa_client.marks.words import ALIASES
from ugosa_client.marks.xml_insertion import element, insert_children

EDGE = re.compile(r"(?P<name>.*\S)\s+(?P<edge>start|begin|end|stop)", re.IGNORECASE)
RESOLUTION = Fraction(1, 10**9)
MIN_BPM, MAX_BPM = 1.0, 10_000.0  # of a tempo curve; Live takes 20 to 999
MAX_NUMBER = 1e9  # of beats; the point before an automation is at -63072000
FLAT_BPM = 1e-9  # a slope smaller than that a beat is none
MAX_SET_BYTES = 256 * 2**20  # unpacked; the largest sets are some tens of MB


def looks_like(data: bytes) -> bool:
    """Return whether the data is gzipped; the rest shows when it is read."""
    return data.startswith(b"\x1f\x8b")


def parse(data: bytes) -> list[Region]:
    """Return a region for each pair of locators; others (Verse, Chorus) are left alone.

    Raises:
        ValueError: it is no Live set, or a pair that is meant as a mark is not whole.
    """
    _, live_set = _read(data)
    tempo = TempoMap(live_set)
    opened: dict[str, list[tuple[float, str]]] = defaultdict(list)
    regions = []
    for beat, name in sorted(_locators(live_set)):
        match = EDGE.fullmatch(name.strip())
        if match is None:
            continue
        key = match["name"].casefold()
        if match["edge"].casefold() in ("start", "begin"):
            opened[key].append((beat, name))
        elif opened[key]:
            first_beat, _ = opened[key].pop(0)
            start, end = (Position(tempo.seconds(b), RESOLUTION) for b in (first_beat, beat))
            regions.append(Region(match["name"], start, end, named_freely=True))
        else:
            regions.append(_unpaired(name, match["name"], beat, f"'{match['name']} start' before it"))
    for key, unpaired in opened.items():
        regions += [_unpaired(name, key, beat, f"'{key} end' after it") for beat, name in unpaired]
    return regions


def _unpaired(name: str, of: str, beat: float, missing: str) -> Region:
    """Return a locator such as "The End" as a region without time, which is no mark.

    Raises:
        ValueError: it is meant as one edge of a mark.
    """
    if is_meant_as_mark(of, tuple(ALIASES)):
        raise ValueError(f"the locator {name!r} at beat {beat:g} has no {missing}")
    return Region(name, Position(Fraction(0)), Position(Fraction(0)), named_freely=True)


def write(regions: Sequence[Region], sample_rate_hz: int | None, into: bytes | None) -> bytes:
    """Return the Live set with two locators more for each region; no other byte changes.

    Raises:
        ValueError: there is no set to put them into.
    """
    if into is None:
        raise ValueError(
            "Live opens locators only as part of a set, whose tempo they need; name one with --into"
        )
    document, live_set = _read(into)
    tempo = TempoMap(live_set)
    locators = live_set.find("Locators/Locators")
    if locators is None:
        raise ValueError("this Live set has no list of locators; save it with Live 10 or newer")
    free_id = 1 + max((whole_number(locator.get("Id", "0")) for locator in locators), default=-1)
    added: list[str] = []
    for region in regions:
        if not region.name:
            raise ValueError("a region without a name has no locator; name it")
        for edge, position in (("start", region.start), ("end", region.end)):
            values = {
                "LomId": "0",
                "Time": repr(tempo.beats(position.seconds(sample_rate_hz))),
                "Name": f"{region.name} {edge}",
                "Annotation": "",
                "IsSongStart": "false",
            }
            fields = "".join(element(tag, {"Value": value}) for tag, value in values.items())
            added.append(element("Locator", {"Id": str(free_id + len(added))}, fields))
    xml = insert_children(document, ["Ableton", "LiveSet", "Locators", "Locators"], added)
    return gzip.compress(xml, mtime=0)


class TempoMap:
    """Conversion of beats of the arrangement to seconds and back."""

    def __init__(self, live_set: ElementTree.Element) -> None:
        master = live_set.find("MasterTrack")
        if master is None:
            master = live_set.find("MainTrack")  # since Live 12
        tempo = None if master is None else master.find("DeviceChain/Mixer/Tempo")
        manual = None if tempo is None else tempo.find("Manual")
        if master is None or tempo is None or manual is None:
            raise ValueError("this Live set has no tempo")
        points = [(0.0, _number(manual.get("Value", "120")))]
        target = tempo.find("AutomationTarget")
        for envelope in master.iterfind("AutomationEnvelopes/Envelopes/AutomationEnvelope"):
            pointee = envelope.find("EnvelopeTarget/PointeeId")
            if target is not None and pointee is not None and pointee.get("Value") == target.get("Id"):
                events = envelope.iterfind("Automation/Events/FloatEvent")
                points = [
                    (_number(e.get("Time", "0")), _number(e.get("Value", "0"))) for e in events
                ] or points
        for _, bpm in points:
            if not MIN_BPM <= bpm <= MAX_BPM:
                raise ValueError(f"this Live set has a tempo of {bpm:g} BPM, which Live itself never has")
        self._points = _from_beat_zero(points)

    def seconds(self, beat: float) -> Fraction:
        """Time of a beat, exact where the tempo is constant."""
        time_s = Fraction(0)
        for number, (first, bpm) in enumerate(self._points):
            following = self._points[number + 1] if number + 1 < len(self._points) else (math.inf, bpm)
            stop = min(beat, following[0])
            if stop > first or beat < 0:
                time_s += _duration(first, bpm, following, stop)
            if beat <= following[0]:
                break
        return time_s

    def beats(self, seconds: Fraction) -> float:
        """Beat of a time: the inverse, to the precision of float64."""
        low = high = 1.0
        while self.seconds(high) < seconds:
            high *= 2
        low = 0.0
        for _ in range(200):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            low, high = (middle, high) if self.seconds(middle) <= seconds else (low, middle)
        return min((low, high), key=lambda beat: abs(self.seconds(beat) - seconds))


def _duration(first: float, bpm: float, following: tuple[float, float], stop: float) -> Fraction:
    """Seconds from beat `first` to `stop` on the line from (first, bpm) to the following point."""
    length = following[0] - first
    slope = 0.0 if math.isinf(length) or length == 0 else (following[1] - bpm) / length
    if abs(slope) < FLAT_BPM:
        return (Fraction(stop) - Fraction(first)) * 60 / Fraction(str(bpm))
    return Fraction(60 / slope * math.log1p(slope * (stop - first) / bpm))


def _from_beat_zero(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Begin the map at beat 0; Live puts its first point far before it."""
    points = sorted(points, key=lambda point: point[0])
    before = [point for point in points if point[0] <= 0]
    after = [point for point in points if point[0] > 0]
    if not before:
        return [(0.0, after[0][1]), *after]
    (beat, bpm) = before[-1]
    if after and beat < 0:
        bpm += (after[0][1] - bpm) * (0 - beat) / (after[0][0] - beat)
    return [(0.0, bpm), *after]


def _locators(live_set: ElementTree.Element) -> list[tuple[float, str]]:
    found = []
    for locator in live_set.iterfind("Locators/Locators/Locator"):
        time, name = locator.find("Time"), locator.find("Name")
        if time is not None and name is not None:
            found.append((_number(time.get("Value", "0")), name.get("Value", "")))
    return found


def _number(text: str) -> float:
    """Return a number of a Live set."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= MAX_NUMBER:
        raise ValueError(f"this Live set has {text[:40]!r} where a number of beats or a tempo belongs")
    return number


def _unzipped(data: bytes) -> bytes:
    """Return what a gzip file holds.

    Raises:
        OSError, EOFError, zlib.error: it is damaged.
        ValueError: it holds more than any Live set.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(MAX_SET_BYTES + 1)
    if len(content) > MAX_SET_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_SET_BYTES >> 20} MiB, which no Live set has")
    return content


def _read(data: bytes) -> tuple[bytes, ElementTree.Element]:
    """Return the XML and the set in it."""
    try:
        xml = _unzipped(data)
    except (OSError, EOFError, zlib.error):
        raise ValueError("it is not a Live set that can be read: it is damaged, or cut short") from None
    try:
        document = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"it is not a Live set that can be read: {error}") from None
    live_set = document.find("LiveSet")
    if document.tag != "Ableton" or live_set is None:
        raise ValueError(f"it is no Live set, but gzipped <{document.tag}>")
    return xml, live_set
