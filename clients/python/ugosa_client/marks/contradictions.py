"""Marks that say the opposite of each other."""

from __future__ import annotations

from collections.abc import Iterable

from ugosa_client.marks.findings import Finding, Severity
from ugosa_client.marks.regions import Region, clock_texts
from ugosa_client.resources import Mark


def find_contradiction(
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
