r"""Audacity label tracks: `start<TAB>end<TAB>name`, in seconds; `.lab` files are the same.

A line that starts with a backslash carries the spectral range of the label before it and says nothing of
time. (Audacity manual, "Importing and Exporting Labels".)
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ugosa_client.marks.regions import Region, parse_seconds
from ugosa_client.resources import Mark, MarkState


def looks_like_audacity(text: str) -> bool:
    """Whether the first line that says something has two numbers and tabs, as a label has."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    fields = first.split("\t")
    if len(fields) < 2:
        return False
    try:
        parse_seconds(fields[0])
        parse_seconds(fields[1])
    except ValueError:
        return False
    return True


def parse_audacity(text: str) -> list[Region]:
    """Read all labels.

    Raises:
        ValueError: a line is no label; the message begins with its number.
    """
    regions = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", maxsplit=2)
        if len(fields) < 3:
            raise ValueError(
                f"line {number}: {line.strip()!r} is no label; a label is start, tab, end, tab, name"
            )
        try:
            start, end = parse_seconds(fields[0]), parse_seconds(fields[1])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        regions.append(Region(fields[2].strip(), start, end, number))
    return regions


def format_audacity(marks: Iterable[Mark], sample_rate_hz: int) -> str:
    """Write marks as labels. Six decimals give every frame back at any rate below 1 MHz."""
    lines = []
    for mark in sorted(marks, key=lambda mark: (mark.start_frame, mark.end_frame, mark.source)):
        name = mark.source if mark.state is MarkState.ACTIVE else f"no {mark.source}"
        start, end = (_seconds(frame, sample_rate_hz) for frame in (mark.start_frame, mark.end_frame))
        lines.append(f"{start}\t{end}\t{name}\n")
    return "".join(lines)


def _seconds(frame: int, sample_rate_hz: int) -> str:
    microseconds = int((Fraction(frame * 10**6, sample_rate_hz) + Fraction(1, 2)) // 1)
    return f"{microseconds // 10**6}.{microseconds % 10**6:06d}"
