"""REAPER's Region/Marker Manager list: `#,Name,Start,End,Length[,Color]`.

Rows `R1` are regions and rows `M1` are markers, which have no end and mark nothing. Times follow the
project's ruler: `m:ss.mmm`, `h:mm:ss.mmm`, seconds with a decimal point, or whole samples; one unit for the
file. Measures and beats need the tempo map and timecode the frame rate, and neither is in the file, so these
are refused.

Written are `m:ss.uuuuuu`: six decimals give every frame back at any rate below 1 MHz.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import replace

from ugosa_client.marks.regions import OF_UGOSA, Position, Region, clock_text, in_samples, parse_time
from ugosa_client.marks.text import csv_rows, first_line

DECIMALS = 6  # they give every frame back at any rate below 1 MHz
BEATS = re.compile(r"\d+\.\d+\.\d+")
TIMECODE = re.compile(r"\d+:\d+:\d+:\d+")
CHANGE_RULER = "in REAPER, right-click the ruler, choose Minutes:Seconds, and export again"


def looks_like(text: str) -> bool:
    """Return whether the text has the header of REAPER's export."""
    first = first_line(text)
    return re.match(r'"?#"?\s*[,;]\s*"?Name"?\s*[,;]', first, re.IGNORECASE) is not None


def parse(text: str) -> list[Region]:
    """Read all regions.

    Raises:
        ValueError: a row is no region; the message begins with its line number.
    """
    header = first_line(text)
    rows = [
        (line, row)
        for line, row in csv_rows(text, ";" if ";" in header and "," not in header else ",")
        if any(cell.strip() for cell in row)
    ]
    if not rows:
        return []
    (header_line, names), *rows = rows
    columns = {name.strip().casefold(): index for index, name in enumerate(names)}
    missing = [name for name in ("name", "start", "end") if name not in columns]
    if missing:
        raise ValueError(f"line {header_line}: the header has no column {missing[0]!r}")
    for line, row in rows:
        if not _is_marker(row) and len(row) <= max(columns[key] for key in ("name", "start", "end")):
            raise ValueError(f"line {line}: {len(row)} cells, but the header has {len(columns)}")
    times = [row[index] for _, row in rows for key in ("start", "end") if (index := columns[key]) < len(row)]
    in_frames = in_samples(time for time in times if time.strip())
    regions = []
    for line, row in rows:
        name = row[columns["name"]].strip() if columns["name"] < len(row) else ""
        if _is_marker(row) or OF_UGOSA.fullmatch(name):
            continue
        try:
            start, end = (
                replace(parse_ruler_time(row[columns[key]]), in_frames=in_frames) for key in ("start", "end")
            )
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        regions.append(Region(name, start, end, line, named_freely=True))
    return regions


def _is_marker(row: list[str]) -> bool:
    return row[0].strip().upper().startswith("M")


def parse_ruler_time(text: str) -> Position:
    """Read a time of REAPER's ruler; one before the start of the song is negative.

    Raises:
        ValueError: it is none, or of a ruler that needs more than the file has.
    """
    text = text.strip()
    if BEATS.fullmatch(text):
        raise ValueError(f"{text!r} counts measures and beats, and the file has no tempo map; {CHANGE_RULER}")
    if TIMECODE.fullmatch(text):
        raise ValueError(f"{text!r} is timecode, and the file does not say its frame rate; {CHANGE_RULER}")
    try:
        time = parse_time(text.removeprefix("-"))
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 1:02.500; {CHANGE_RULER}") from None
    return replace(time, value=-time.value) if text.startswith("-") else time


def write(regions: Iterable[Region], sample_rate_hz: int | None) -> str:
    """Write regions for the Region/Marker Manager's import."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["#", "Name", "Start", "End", "Length"])
    for number, region in enumerate(regions, start=1):
        start, end = region.start.seconds(sample_rate_hz), region.end.seconds(sample_rate_hz)
        writer.writerow(
            [f"R{number}", region.name, *(clock_text(time, DECIMALS) for time in (start, end, end - start))]
        )
    return text.getvalue()
