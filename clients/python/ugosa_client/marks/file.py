"""Marks files in and out: the format is told by the content, times become frames once."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ugosa_client.errors import MarksFileError
from ugosa_client.marks.findings import Finding, Severity
from ugosa_client.marks.formats import FORMATS, MarksFormat, format_of_bytes, format_of_name
from ugosa_client.marks.labels import (
    UnknownNameError,
    find_source,
    is_meant_as_mark,
    parse_label,
)
from ugosa_client.marks.regions import Region, cut_at_end, regions_of_marks
from ugosa_client.marks.text import decode_text
from ugosa_client.resources import Mark, MarkState


def read_marks(
    path: str | os.PathLike[str], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[Mark, ...]:
    """Read a marks file into marks of a song of `frames` frames at `sample_rate_hz`.

    Args:
        path: A file of any format of `marks/formats.py`.
        sources: Names of the model's sources.
        sample_rate_hz: The song's.
        frames: The song's length.

    Raises:
        MarksFileError: the file cannot be read, a name is unknown, a region is reversed or lies
            outside the song, or two regions contradict each other. The message names file, line and way out.
    """
    path = Path(path)
    marks, findings = examine_regions(read_regions(path), sources, sample_rate_hz, frames)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise MarksFileError(f"{path}, {errors[0].where}: {errors[0].text}")
    return marks


def write_marks(
    path: str | os.PathLike[str],
    marks: Iterable[Mark],
    sample_rate_hz: int,
    marks_format: MarksFormat | None = None,
    into: str | os.PathLike[str] | None = None,
) -> None:
    """Write marks as `write_regions` writes regions.

    Raises:
        BadInputError: no format has that suffix.
        MarksFileError: the format cannot hold them.
    """
    write_regions(path, regions_of_marks(marks), sample_rate_hz, marks_format, into)


def write_regions(
    path: str | os.PathLike[str],
    regions: Sequence[Region],
    sample_rate_hz: int | None,
    marks_format: MarksFormat | None = None,
    into: str | os.PathLike[str] | None = None,
) -> None:
    """Write regions in a format, by default that of the file's suffix, whole or not at all.

    With `into`, a project, a copy of it with the regions added is written.

    Raises:
        BadInputError: no format has that suffix.
        MarksFileError: the format cannot hold them, or knows no projects.
    """
    target = Path(path)
    marks_format = marks_format or format_of_name(target.name)
    project = None
    if into is not None:
        if not marks_format.takes_project:
            raise MarksFileError(f"a {marks_format.title} is no project to put marks into; leave out --into")
        project = _read_bytes(Path(into))
    try:
        data = marks_format.write(regions, sample_rate_hz, project)
    except ValueError as error:
        raise MarksFileError(f"cannot write {target}: {error}") from None
    partial = target.with_name(target.name + ".tmp")
    partial.write_bytes(data)
    os.replace(partial, target)


def read_regions(path: Path) -> list[Region]:
    """Read the regions of a file of any known format; an empty file has none.

    Raises:
        MarksFileError: it cannot be read, or is of no known format.
    """
    data = _read_bytes(path)
    if not data.strip():
        return []
    marks_format = format_of_bytes(data)
    if marks_format is None:
        _refuse_foreign_text(path, data)
        known = "; ".join(known.title for known in FORMATS)
        raise MarksFileError(
            f"{path} is no marks file of a known format; it begins with {data.lstrip()[:40]!r}. "
            f"Known are: {known}"
        )
    try:
        return marks_format.read(data)
    except ValueError as error:
        raise MarksFileError(f"{path}, {error}") from None


def examine_regions(
    regions: Iterable[Region], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[tuple[Mark, ...], list[Finding]]:
    """Return the marks that regions make, and all that is wrong with the regions that make none."""
    marks: dict[Mark, Region] = {}
    saying: dict[tuple[str, MarkState], list[Mark]] = defaultdict(list)
    findings: list[Finding] = []
    for region in cut_at_end(regions, sample_rate_hz, frames):
        try:
            states = _states(region, sources)
        except ValueError as error:
            if not region.from_lane:  # a track of another name is no lane
                findings.append(_label_finding(region, error, sources))
            continue
        span = _span(region, sample_rate_hz, frames)
        if isinstance(span, Finding):
            findings.append(span)
            continue
        for source, state in states.items():
            mark = Mark(source, state, *span)
            if mark in marks:
                continue
            opposite = MarkState.SILENT if state is MarkState.ACTIVE else MarkState.ACTIVE
            contradiction = _contradiction(mark, region, ((o, marks[o]) for o in saying[source, opposite]))
            if contradiction is not None:
                findings.append(contradiction)
                continue
            marks[mark] = region
            saying[source, state].append(mark)
    return tuple(marks), findings


def _states(region: Region, sources: Sequence[str]) -> dict[str, MarkState]:
    """What a region says: its lane's instrument plays, unless the region itself says something."""
    if region.lane_says:
        with suppress(UnknownNameError):
            return {find_source(region.lane_says, sources): MarkState.ACTIVE}
    return parse_label(region.name, sources)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MarksFileError(f"cannot read the marks file {path}: {error.strerror or error}") from error


def _refuse_foreign_text(path: Path, data: bytes) -> None:
    try:
        decode_text(data)
    except ValueError as error:
        raise MarksFileError(f"{path} is no marks file of a known format: {error}") from None


def _label_finding(region: Region, error: ValueError, sources: Sequence[str]) -> Finding:
    code, severity, message, fix = "BAD_LABEL", Severity.ERROR, str(error), "rename it"
    if isinstance(error, UnknownNameError):
        code, message, fix = "UNKNOWN_SOURCE", error.message, error.fix or fix
    if region.named_freely and not is_meant_as_mark(region.name, sources):
        why = f": {message}" if fix != "rename it" else ", for it names no instrument"
        code, severity, message = "NOT_A_MARK", Severity.INFO, f"the region {region.name!r} is left out{why}"
        fix = "rename it, if it is meant as a mark" if fix == "rename it" else fix
    return Finding(code, severity, message, fix, line=region.line, region=region.name)


def _span(region: Region, sample_rate_hz: int, frames: int) -> tuple[int, int] | Finding:
    """Return the region in frames; what its written digits round past the end of the song is cut off."""
    start_frame, end_frame = region.start.frame(sample_rate_hz), region.end.frame(sample_rate_hz)
    problem = None
    if start_frame < 0:
        problem = (
            "OUT_OF_SONG",
            f"region {region.name!r} starts {-start_frame} frames before the song",
            "move its start to 0 or later",
        )
    elif end_frame - frames > region.end.rounding_frames(sample_rate_hz):
        problem = (
            "OUT_OF_SONG",
            f"region {region.name!r} ends at frame {end_frame} ({end_frame / sample_rate_hz:.3f} s), but "
            f"the song has {frames} frames ({frames / sample_rate_hz:.3f} s)",
            "shorten it, if these are the marks of this song",
        )
    else:
        end_frame = min(end_frame, frames)
        if start_frame < end_frame:
            return start_frame, end_frame
        is_point = region.start.value == region.end.value
        problem = (
            "BAD_REGION",
            f"{region.name!r} {'is a point, not a region' if is_point else 'is reversed or empty'}: "
            f"it starts at frame {start_frame} and ends at frame {end_frame}",
            "draw it over the time that it speaks of",
        )
    code, message, fix = problem
    return Finding(code, Severity.ERROR, message, fix, "", start_frame, end_frame, region.line, region.name)


def _contradiction(mark: Mark, region: Region, others: Iterable[tuple[Mark, Region]]) -> Finding | None:
    """Compare a mark with those of the same source that say the opposite."""
    for other, other_region in others:
        overlap_start = max(mark.start_frame, other.start_frame)
        overlap_end = min(mark.end_frame, other.end_frame)
        if overlap_start < overlap_end:
            return Finding(
                "CONTRADICTION",
                Severity.ERROR,
                f"{mark.source} is {mark.state} here, but {other_region.where} says "
                f"{other.state} for frames {overlap_start} to {overlap_end}",
                "shorten one of the two",
                mark.source,
                overlap_start,
                overlap_end,
                region.line,
                region.name,
            )
    return None
