"""Sonic Visualiser's export of a region layer: `time,value,duration,label`, in seconds.

A header row is there if it was asked for in the export dialogue. The value is where a region is drawn and
says nothing of time. Exported "in frames" a file has whole numbers of samples; then so are its positions
here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from ugosa_client.marks.regions import Region, format_seconds, in_samples, parse_seconds, rounded
from ugosa_client.marks.text import csv_rows

DECIMALS = 9  # as Sonic Visualiser writes them
COLUMNS = 4


def looks_like(text: str) -> bool:
    """Return whether the first row is a time, a value, a duration and a label, or their names."""
    try:
        row = next((row for _, row in csv_rows(text) if any(row)), [])
    except ValueError:
        return False
    return _is_header(row) or _is_region(row)


def parse(text: str) -> list[Region]:
    """Read all regions.

    Raises:
        ValueError: a row is no region; the message begins with its line number.
    """
    rows = [(line, row) for line, row in csv_rows(text, skip_spaces=True) if any(row) and not _is_header(row)]
    for line, row in rows:
        if not _is_region(row):
            raise ValueError(f"line {line}: {','.join(row)!r} is not time,value,duration,label")
    in_frames = in_samples(cell for _, row in rows for cell in (row[0], row[2]))
    regions = []
    for line, row in rows:
        start, duration = (replace(parse_seconds(cell), in_frames=in_frames) for cell in (row[0], row[2]))
        regions.append(Region(row[3].strip(), start, start + duration, line))
    return regions


def write(regions: Iterable[Region], sample_rate_hz: int | None) -> str:
    """Write regions in seconds, without a header, each label at a height of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heights: dict[str, int] = {}
    unit = 10**DECIMALS
    for region in regions:
        start = rounded(region.start.seconds(sample_rate_hz) * unit)
        end = rounded(region.end.seconds(sample_rate_hz) * unit)
        writer.writerow(
            [
                format_seconds(Fraction(start, unit), DECIMALS),
                heights.setdefault(region.name, len(heights)),
                format_seconds(Fraction(end - start, unit), DECIMALS),  # so that start + duration is the end
                region.name,
            ]
        )
    return text.getvalue()


def _is_header(row: list[str]) -> bool:
    return [cell.strip().casefold() for cell in row[:3]] == ["time", "value", "duration"]


def _is_region(row: list[str]) -> bool:
    if len(row) != COLUMNS:
        return False
    try:
        for cell in row[:3]:
            parse_seconds(cell)
    except ValueError:
        return False
    return True
