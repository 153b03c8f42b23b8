"""From regions to marks in frames, with a finding for each region that makes none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress

from ugosa_client.marks.findings import Finding, Severity
from ugosa_client.marks.labels import UnknownNameError, find_source, is_meant_as_mark, parse_label
from ugosa_client.marks.regions import Region, clock_texts, cut_at_end
from ugosa_client.marks.suggestions import is_suggestion
from ugosa_client.resources import Mark, MarkState


def examine_regions(
    regions: Iterable[Region], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[tuple[Mark, ...], list[Finding]]:
    """Return the marks of regions in a song, and a finding for each region that makes none."""
    marks: dict[Mark, Region] = {}
    saying: dict[tuple[str, MarkState], list[Mark]] = defaultdict(list)
    findings: list[Finding] = []
    for region in cut_at_end(regions, sample_rate_hz, frames):
        if is_suggestion(region.name):
            findings.append(_suggestion_finding(region))
            continue
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
            others = ((other, marks[other]) for other in saying[source, opposite])
            contradiction = _contradiction(mark, region, others, sample_rate_hz)
            if contradiction is not None:
                findings.append(contradiction)
                continue
            marks[mark] = region
            saying[source, state].append(mark)
    return tuple(marks), findings


def _states(region: Region, sources: Sequence[str]) -> dict[str, MarkState]:
    """Return the states of a region: its lane's instrument plays, unless its name says more."""
    if region.lane_says:
        with suppress(UnknownNameError):
            return {find_source(region.lane_says, sources): MarkState.ACTIVE}
    return parse_label(region.name, sources)


def _suggestion_finding(region: Region) -> Finding:
    message = f"the region {region.name!r} is a suggestion that nobody has accepted, and is left out"
    fix = "take the question mark off, if it is right"
    return Finding("SUGGESTION", Severity.INFO, message, fix, line=region.line, region=region.name)


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
    """Return the region in frames, cut at the song's end if rounding put it beyond."""
    start_frame, end_frame = region.start.frame(sample_rate_hz), region.end.frame(sample_rate_hz)
    if start_frame < 0:
        start, _ = clock_texts([start_frame, 0], sample_rate_hz)
        code = "OUT_OF_SONG"
        message = f"region {region.name!r} starts at {start}, before the song"
        fix = "move its start to 0 or later"
    elif end_frame - frames > region.end.rounding_frames(sample_rate_hz):
        end, song_end = clock_texts([end_frame, frames], sample_rate_hz)
        code = "OUT_OF_SONG"
        message = f"region {region.name!r} ends at {end}, but the song ends at {song_end}"
        fix = "shorten it, if these are the marks of this song"
    elif start_frame < min(end_frame, frames):
        return start_frame, min(end_frame, frames)
    else:
        start, end = clock_texts([start_frame, end_frame], sample_rate_hz)
        code, fix = "BAD_REGION", "draw it over the time that it is meant for"
        if region.start.value == region.end.value:
            message = f"{region.name!r} is a point at {start}, not a region"
        else:
            message = f"{region.name!r} is reversed or empty: it starts at {start} and ends at {end}"
    return Finding(code, Severity.ERROR, message, fix, "", start_frame, end_frame, region.line, region.name)


def _contradiction(
    mark: Mark, region: Region, others: Iterable[tuple[Mark, Region]], sample_rate_hz: int
) -> Finding | None:
    """Return the overlap of a mark with the first one that contradicts it."""
    for other, other_region in others:
        start_frame = max(mark.start_frame, other.start_frame)
        end_frame = min(mark.end_frame, other.end_frame)
        if start_frame < end_frame:
            start, end = clock_texts([start_frame, end_frame], sample_rate_hz)
            return Finding(
                "CONTRADICTION",
                Severity.ERROR,
                f"{mark.source} is {mark.state} here, but {other_region.where} says {other.state} "
                f"from {start} to {end}",
                "shorten one of the two",
                mark.source,
                start_frame,
                end_frame,
                region.line,
                region.name,
            )
    return None
