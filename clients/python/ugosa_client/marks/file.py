"""Marks files in and out: the format is told by the content, times become frames once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ugosa_client.errors import MarksFileError
from ugosa_client.marks.audacity import format_audacity, looks_like_audacity, parse_audacity
from ugosa_client.marks.labels import parse_label
from ugosa_client.marks.reaper_csv import looks_like_reaper_csv, parse_reaper_csv
from ugosa_client.marks.regions import Region
from ugosa_client.resources import Mark


def read_marks(
    path: str | os.PathLike[str], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[Mark, ...]:
    """Read a marks file into marks of a song of `frames` frames at `sample_rate_hz`.

    Args:
        path: Audacity labels (or .lab), or REAPER's region CSV.
        sources: Names of the model's sources.
        sample_rate_hz: The song's.
        frames: The song's length.

    Raises:
        MarksFileError: the file cannot be read, a name is unknown, a region is reversed or lies
            outside the song, or two regions contradict each other. The message names file, line and way out.
    """
    path = Path(path)
    marks: dict[Mark, int] = {}
    for region in read_regions(path):
        try:
            states = parse_label(region.name, sources)
            start_frame, end_frame = _span(region, sample_rate_hz, frames)
        except ValueError as error:
            raise MarksFileError(f"{path}, line {region.line}: {error}") from None
        for source, state in states.items():
            mark = Mark(source, state, start_frame, end_frame)
            _refuse_contradiction(path, mark, region.line, marks)
            marks.setdefault(mark, region.line)
    return tuple(marks)


def write_marks(path: str | os.PathLike[str], marks: Iterable[Mark], sample_rate_hz: int) -> None:
    """Write marks as Audacity labels, whole or not at all."""
    target = Path(path)
    partial = target.with_name(target.name + ".tmp")
    partial.write_text(format_audacity(marks, sample_rate_hz), encoding="utf-8", newline="\n")
    os.replace(partial, target)


def read_regions(path: Path) -> list[Region]:
    """Read the regions of a file of any known format; an empty file has none.

    Raises:
        MarksFileError: it cannot be read, or is of no known format.
    """
    text = _read_text(path)
    if not text.strip():
        return []
    try:
        if looks_like_reaper_csv(text):
            return parse_reaper_csv(text)
        if looks_like_audacity(text):
            return parse_audacity(text)
    except ValueError as error:
        raise MarksFileError(f"{path}, {error}") from None
    first = next(line for line in text.splitlines() if line.strip()).strip()
    raise MarksFileError(
        f"{path} is no marks file of a known format; it begins with {first[:60]!r}. Known are Audacity "
        "labels (start, tab, end, tab, name) and REAPER's region CSV (header #,Name,Start,End,Length)"
    )


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MarksFileError(f"cannot read the marks file {path}: {error.strerror or error}") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise MarksFileError(
            f"{path} is not text in UTF-8 (byte {error.start} is {data[error.start]:#04x}); save it as UTF-8"
        ) from None


def _span(region: Region, sample_rate_hz: int, frames: int) -> tuple[int, int]:
    """Return the region in frames; what its written digits round past the end of the song is cut off."""
    start_frame, end_frame = region.start.frame(sample_rate_hz), region.end.frame(sample_rate_hz)
    if start_frame < 0:
        raise ValueError(f"region {region.name!r} starts {-start_frame} frames before the song")
    if end_frame > frames:
        if end_frame - frames > region.end.rounding_frames(sample_rate_hz):
            raise ValueError(
                f"region {region.name!r} ends at frame {end_frame} ({end_frame / sample_rate_hz:.3f} s), but "
                f"the song has {frames} frames ({frames / sample_rate_hz:.3f} s); "
                "are these the marks of this song?"
            )
        end_frame = frames
    if start_frame >= end_frame:
        kind = (
            "is a point, not a region" if region.start.value == region.end.value else "is reversed or empty"
        )
        raise ValueError(
            f"{region.name!r} {kind}: it starts at frame {start_frame} and ends at frame {end_frame}; "
            "draw it over the time that it speaks of"
        )
    return start_frame, end_frame


def _refuse_contradiction(path: Path, mark: Mark, line: int, earlier: dict[Mark, int]) -> None:
    for other, other_line in earlier.items():
        overlap_start = max(mark.start_frame, other.start_frame)
        overlap_end = min(mark.end_frame, other.end_frame)
        if other.source == mark.source and other.state is not mark.state and overlap_start < overlap_end:
            raise MarksFileError(
                f"{path}, line {line}: {mark.source} is {mark.state} here, but line {other_line} says "
                f"{other.state} for frames {overlap_start} to {overlap_end}; shorten one of the two"
            )
