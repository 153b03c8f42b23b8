r"""Audacity label tracks: `start<TAB>end<TAB>name`, in seconds.

Files that people write are read too: `0,5` and `1:02.5` are times.

A line that starts with a backslash carries the spectral range of the label before it and says nothing of
time. (Audacity manual, "Importing and Exporting Labels".)
"""

from __future__ import annotations

from collections.abc import Iterable

from ugosa_client.marks.regions import Region, format_seconds, parse_time
from ugosa_client.marks.text import first_line, lines_of

DECIMALS = 6  # as Audacity writes them; they give every frame back at any rate below 1 MHz


def looks_like(text: str) -> bool:
    """Return whether the first line that is not blank has two times and tabs."""
    start, *others = first_line(text).split("\t")
    try:
        parse_time(start)
        parse_time(others[0])
    except (ValueError, IndexError):
        return False
    return True


def parse(text: str) -> list[Region]:
    """Read all labels.

    Raises:
        ValueError: a line is no label; the message begins with its number.
    """
    regions = []
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", maxsplit=2)
        if len(fields) < 3:
            raise ValueError(
                f"line {number}: {line.strip()!r} is no label; a label is start, tab, end, tab, name"
            )
        try:
            start, end = parse_time(fields[0]), parse_time(fields[1])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        regions.append(Region(fields[2].strip(), start, end, number))
    return regions


def write(regions: Iterable[Region], sample_rate_hz: int | None) -> str:
    """Write regions as labels."""
    return "".join(
        f"{format_seconds(region.start.seconds(sample_rate_hz), DECIMALS)}\t"
        f"{format_seconds(region.end.seconds(sample_rate_hz), DECIMALS)}\t"
        f"{' '.join(region.name.split())}\n"
        for region in regions
    )
