"""`.lab` files of annotation tools: `start end name`, in seconds, parted by any blanks.

So is what people write by hand: `0:05-0:10 no vocals`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ugosa_client.marks import audacity
from ugosa_client.marks.regions import Region, parse_time
from ugosa_client.marks.text import first_line, lines_of

# Between the times, a hyphen, or one of the dashes that editors make of it.
BY_HAND = re.compile(r"(?P<start>[\d:.,]+)\s*[-\u2013\u2014]\s*(?P<end>[\d:.,]+)\s+(?P<name>\S.*)")


def looks_like(text: str) -> bool:
    """Return whether the first line that is not blank is two times and a name."""
    first = first_line(text)
    try:
        _parse_line(first, 1)
    except ValueError:
        return False
    return True


def parse(text: str) -> list[Region]:
    """Read all lines.

    Raises:
        ValueError: a line is not of the format; the message begins with its number.
    """
    lines = enumerate(lines_of(text), start=1)
    return [_parse_line(line, number) for number, line in lines if line.strip()]


def write(regions: Iterable[Region], sample_rate_hz: int | None) -> str:
    """Write one line a region, parted by tabs."""
    return audacity.write(regions, sample_rate_hz)


def _parse_line(line: str, number: int) -> Region:
    by_hand = BY_HAND.fullmatch(line.strip())
    fields = list(by_hand.groups()) if by_hand else line.split(maxsplit=2)
    if len(fields) < 3:
        raise ValueError(f"line {number}: {line.strip()!r} has no start, end and name")
    try:
        return Region(fields[2].strip(), parse_time(fields[0]), parse_time(fields[1]), number)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
