"""REAPER's Region/Marker Manager list: `#,Name,Start,End,Length[,Color]`.

Rows `R1` are regions and rows `M1` are markers, which have no end and mark nothing. Times follow the
project's ruler: `m:ss.mmm`, `h:mm:ss.mmm`, seconds with a decimal point, or whole samples. Measures and beats
need the tempo map and timecode the frame rate, and neither is in the file, so these are refused.

Written are `m:ss.uuuuuu`: six decimals give every frame back at any rate below 1 MHz.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from fractions import Fraction

from ugosa_client.marks.csv_rows import csv_rows
from ugosa_client.marks.regions import Position, Region, format_seconds

CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+)\.(\d+)")
CLOCK_WITHOUT_DECIMALS = re.compile(r"(?:(\d+):)?(\d+):(\d+)")
SAMPLES = re.compile(r"\d+")
BEATS = re.compile(r"\d+\.\d+\.\d+")
TIMECODE = re.compile(r"\d+:\d+:\d+:\d+")
CHANGE_RULER = "in REAPER, right-click the ruler, choose Minutes:Seconds, and export again"


def looks_like_reaper_csv(text: str) -> bool:
    """Whether the file has the header of REAPER's export."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return re.match(r'"?#"?\s*[,;]\s*"?Name"?\s*[,;]', first, re.IGNORECASE) is not None


def parse_reaper_csv(text: str) -> list[Region]:
    """Read all regions.

    Raises:
        ValueError: a row is no region; the message begins with its line number.
    """
    delimiter = ";" if ";" in text.splitlines()[0] and "," not in text.splitlines()[0] else ","
    columns: dict[str, int] | None = None
    regions = []
    for line, row in csv_rows(text, delimiter):
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns = {name.strip().casefold(): index for index, name in enumerate(row)}
            missing = [name for name in ("name", "start", "end") if name not in columns]
            if missing:
                raise ValueError(f"line {line}: the header has no column {missing[0]!r}")
            continue
        if row[0].strip().upper().startswith("M"):
            continue
        if len(row) <= max(columns["name"], columns["start"], columns["end"]):
            raise ValueError(f"line {line}: {len(row)} cells, but the header has {len(columns)}")
        name, start, end = (row[columns[key]] for key in ("name", "start", "end"))
        try:
            regions.append(Region(name.strip(), parse_time(start), parse_time(end), line))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
    return regions


def parse_time(text: str) -> Position:
    """Read a time of REAPER's ruler.

    Raises:
        ValueError: it is none, or of a ruler that needs more than the file has.
    """
    text = text.strip()
    if match := CLOCK.fullmatch(text):
        hours, minutes, seconds, decimals = match.groups()
        return _clock(hours, minutes, f"{seconds}.{decimals}", Fraction(1, 10 ** len(decimals)))
    if match := CLOCK_WITHOUT_DECIMALS.fullmatch(text):
        hours, minutes, seconds = match.groups()
        return _clock(hours, minutes, seconds, Fraction(1))
    if SAMPLES.fullmatch(text):
        return Position(Fraction(text), Fraction(1), in_frames=True)
    if BEATS.fullmatch(text):
        raise ValueError(f"{text!r} counts measures and beats, and the file has no tempo map; {CHANGE_RULER}")
    if TIMECODE.fullmatch(text):
        raise ValueError(f"{text!r} is timecode, and the file does not say its frame rate; {CHANGE_RULER}")
    if text.startswith("-"):
        raise ValueError(f"{text!r} lies before the start of the song; move the region, or cut it at 0")
    raise ValueError(f"{text!r} is not a time such as 1:02.500; {CHANGE_RULER}")


def format_reaper_csv(regions: Iterable[Region], sample_rate_hz: int | None) -> str:
    """Write regions for the Region/Marker Manager's import."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["#", "Name", "Start", "End", "Length"])
    for number, region in enumerate(regions, start=1):
        start, end = region.start.seconds(sample_rate_hz), region.end.seconds(sample_rate_hz)
        writer.writerow(
            [f"R{number}", region.name, *(_clock_text(time) for time in (start, end, end - start))]
        )
    return text.getvalue()


def _clock_text(seconds: Fraction) -> str:
    microseconds = int((seconds * 10**6 + Fraction(1, 2)) // 1)
    minutes, rest = divmod(microseconds, 60 * 10**6)
    return f"{minutes}:{format_seconds(Fraction(rest, 10**6), 6).rjust(9, '0')}"


def _clock(hours: str | None, minutes: str | None, seconds: str, resolution: Fraction) -> Position:
    return Position(Fraction(int(hours or 0) * 3600 + int(minutes or 0) * 60) + Fraction(seconds), resolution)
