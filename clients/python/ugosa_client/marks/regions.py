"""Named regions of marks files, before names become sources and times become frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ugosa_client.marks.labels import is_instrument, is_one_name, says_more_than_names, without_word
from ugosa_client.resources import Mark, MarkState

CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")
OF_UGOSA = re.compile(r"UGOSA: .*|.*\s\?\s*", re.DOTALL)
"""Names of findings, and of suggestions that nobody has accepted."""
MAX_DECIMALS = 6  # tell any two frames below 1 MHz apart
LONGEST_SONG_S = 4 * 3600  # a whole number above it is one of samples
MAX_WHOLE_DIGITS = 19
MAX_NUMBER_LETTERS = 400  # Python itself refuses numbers of more than 4300 digits, in its own words
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Position:
    """A point in time, exactly as it was written."""

    value: Fraction
    """Seconds, or frames if `in_frames`."""
    resolution: Fraction = Fraction(0)
    """Value of the last written digit, in the same unit: 1/1000 for "0:00.500"; 0 = exact."""
    in_frames: bool = False
    """Whether the file counts samples."""

    def __add__(self, length: Position) -> Position:
        """Return where a stretch that begins here ends; errors of written digits add up."""
        resolution = self.resolution + length.resolution
        return replace(self, value=self.value + length.value, resolution=resolution)

    def frame(self, sample_rate_hz: int) -> int:
        """Return the nearest frame; halves round up."""
        return rounded(self.value if self.in_frames else self.value * sample_rate_hz)

    def seconds(self, sample_rate_hz: int | None) -> Fraction:
        """Return the time in seconds.

        Raises:
            ValueError: it counts samples, and the sample rate is not known.
        """
        if not self.in_frames:
            return self.value
        if sample_rate_hz is None:
            raise ValueError("positions are in samples; give the sample rate with --rate or --song")
        return self.value / sample_rate_hz

    def rounding_frames(self, sample_rate_hz: int) -> int:
        """Return the error of the written digits in frames: half a last digit, at least one."""
        if self.in_frames:
            return 1
        return max(1, -int(-self.resolution / 2 * sample_rate_hz // 1))


@dataclass(frozen=True)
class Region:
    """A named stretch of time of a marks file."""

    name: str
    """Name that the musician wrote, for example "no vocals"."""
    start: Position
    end: Position
    """Its end, exclusive."""
    line: int = 0
    """Line of the file, from 1; 0 where a file has no lines."""
    from_lane: bool = False
    """True for an item of a track, which counts if that is named for an instrument."""
    lane: str = ""
    """Ruler lane that it lies in; one named for an instrument means that it plays here."""
    to_the_end: bool = False
    """True for the rest of the song; its end may lie beyond."""
    named_freely: bool = False
    """True if it may be a section of the song ("Verse 1"), as regions of projects may."""

    @property
    def lane_says(self) -> str:
        """Ruler lane, if it could be an instrument and the region itself names none."""
        return self.lane if is_one_name(self.lane) and not says_more_than_names(self.name) else ""

    @property
    def where(self) -> str:
        """Place in the file, as messages write it."""
        return f"line {self.line}" if self.line else f"region {self.name!r}"


def parse_seconds(text: str) -> Position:
    """Read a plain decimal number of seconds.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    match = NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER_LETTERS else None
    if match is None:
        raise ValueError(f"{text!r} is not a number of seconds")
    exponent = int((match[2] or "e0")[1:])
    decimals = len(match[1].partition(".")[2]) - exponent
    return Position(Fraction(text), Fraction(10) ** -decimals)


def whole_number(text: str) -> int:
    """Read a whole number of a project; 0 where there is none, or one of more digits than projects have."""
    return int(text) if text.isdecimal() and len(text) <= MAX_WHOLE_DIGITS else 0


def parse_clock(text: str) -> Position:
    """Read a time of the clock, `m:ss`, `h:mm:ss`, with decimals or without.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    match = CLOCK.fullmatch(text) if len(text) <= MAX_NUMBER_LETTERS else None
    if match is None:
        raise ValueError(f"{text!r} is not a time such as 1:02.5")
    hours, minutes, seconds = match.groups()
    whole_minutes = int(hours or 0) * 60 + int(minutes)
    return replace(parse_seconds(seconds), value=60 * whole_minutes + Fraction(seconds))


def parse_time(text: str) -> Position:
    """Read a time as people write it: seconds or a clock's, with decimal point or comma.

    Raises:
        ValueError: it is none.
    """
    plain = text.strip().replace(",", ".", 1)
    try:
        return parse_clock(plain) if ":" in plain else parse_seconds(plain)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not a time such as 62.5 or 1:02.5") from None


def in_samples(times: Iterable[str]) -> bool:
    """Return whether times are samples: whole numbers, and too large for seconds.

    Raises:
        ValueError: they are whole numbers, and could be either.
    """
    texts = [text.strip().removeprefix("-") for text in times]
    if not texts or not all(text.isdecimal() and len(text) <= MAX_NUMBER_LETTERS for text in texts):
        return False
    last = max(texts, key=int)
    if int(last) <= LONGEST_SONG_S:
        raise ValueError(
            f"its times up to {last} are whole numbers: samples or seconds? "
            f"Write seconds with a decimal point, as {last}.0, or export again in minutes and seconds"
        )
    return True


def rounded(number: Fraction) -> int:
    """Return the nearest whole number; halves round up."""
    return int((number + Fraction(1, 2)) // 1)


def format_seconds(seconds: Fraction, decimals: int) -> str:
    """Write seconds with so many decimals, halves rounded up."""
    unit = 10**decimals
    units = rounded(seconds * unit)
    sign = "-" if units < 0 else ""
    return f"{sign}{abs(units) // unit}.{abs(units) % unit:0{decimals}d}"


def clock_text(seconds: Fraction, decimals: int) -> str:
    """Write a time of the clock, `m:ss` and so many decimals, halves rounded up."""
    minutes, rest = divmod(rounded(abs(seconds) * 10**decimals), 60 * 10**decimals)
    sign = "-" if seconds < 0 else ""
    return (
        f"{sign}{minutes}:{format_seconds(Fraction(rest, 10**decimals), decimals).rjust(decimals + 3, '0')}"
    )


def clock_texts(frames: Sequence[int], sample_rate_hz: int) -> list[str]:
    """Write frames as times such as 0:48.0, with the decimals that tell different frames apart."""
    for decimals in range(1, MAX_DECIMALS + 1):
        texts = [clock_text(Fraction(frame, sample_rate_hz), decimals) for frame in frames]
        if len(set(texts)) == len(set(frames)):
            break
    return texts


def regions_of_marks(marks: Iterable[Mark]) -> list[Region]:
    """Write marks as regions, in the order of time: `vocals` is active, `no vocals` silent."""
    return [
        Region(
            mark.source if mark.state is MarkState.ACTIVE else f"no {mark.source}",
            Position(Fraction(mark.start_frame), in_frames=True),
            Position(Fraction(mark.end_frame), in_frames=True),
        )
        for mark in sorted(marks, key=lambda mark: (mark.start_frame, mark.end_frame, mark.source))
    ]


def cut_at_end(regions: Iterable[Region], sample_rate_hz: int, frames: int) -> Iterator[Region]:
    """Cut regions that go to the end of the song at its `frames`."""
    for region in regions:
        if not region.to_the_end or region.end.frame(sample_rate_hz) <= frames:
            yield region
        elif region.start.frame(sample_rate_hz) < frames:
            yield replace(region, end=Position(Fraction(frames), in_frames=True))


def regions_in_stretch(
    regions: Iterable[Region], sample_rate_hz: int, first: int, last: int
) -> Iterator[Region]:
    """Cut regions of a song at a stretch [first, last) and count their times from its start."""
    for region in regions:
        start, end = region.start.frame(sample_rate_hz), region.end.frame(sample_rate_hz)
        if start >= end:  # a slip, to be told as one
            yield replace(region, start=_at_frame(start - first), end=_at_frame(end - first))
        elif max(start, first) < min(end, last):
            yield replace(
                region, start=_at_frame(max(start, first) - first), end=_at_frame(min(end, last) - first)
            )


def _at_frame(number: int) -> Position:
    return Position(Fraction(number), in_frames=True)


def named_regions(regions: Iterable[Region]) -> Iterator[Region]:
    """Write lanes as names of regions, for formats without lanes."""
    for region in regions:
        if region.named_freely and region.start == region.end:
            continue  # a locator or a range without time that is no mark
        if region.from_lane:
            if is_instrument(without_word(region.name)):
                yield region
        elif is_instrument(region.lane_says):
            yield replace(region, name=region.lane)
        else:
            yield region
