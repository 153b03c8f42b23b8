"""The musician's marks: regions in which a source is known to play or to be silent.

Positions are integer frames at the source's own sample rate, the end exclusive. Time that no mark of a source
covers is *unknown*: the source may play there.

Sets of frames as half-open intervals: `(start, stop)` holds start, start + 1, ..., stop - 1.

A *merged* list is sorted, and its intervals are not empty and neither overlap nor touch: one list for one
set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class MarkState(StrEnum):
    """What a mark says of its source; unmarked time is neither."""

    ACTIVE = "active"
    SILENT = "silent"


@dataclass(frozen=True, order=True)
class Mark:
    """One region of one source."""

    source: str
    """Name of a source of the model, for example "vocals"."""
    state: MarkState
    """What the source does in the region."""
    start_frame: int
    """First frame, at the source rate; 0 <= start_frame < end_frame."""
    end_frame: int
    """One past the last frame, at most the number of frames of the song."""


Interval = tuple[int, int]


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of intervals in any order, empty ones included, as a merged list."""
    merged: list[Interval] = []
    for start, stop in sorted(intervals):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def intersect(first: Iterable[Interval], second: Iterable[Interval]) -> list[Interval]:
    """The frames that lie in both sets, as a merged list."""
    a, b = merge(first), merge(second)
    common: list[Interval] = []
    i = j = 0
    while i < len(a) and j < len(b):
        start, stop = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if start < stop:
            common.append((start, stop))
        if a[i][1] <= b[j][1]:
            i += 1
        else:
            j += 1
    return common


def complement(intervals: Iterable[Interval], frames: int) -> list[Interval]:
    """The frames of [0, frames) that lie in no interval, as a merged list."""
    gaps: list[Interval] = []
    position = 0
    for start, stop in merge(intervals):
        if start >= frames:
            break
        if start > position:
            gaps.append((position, start))
        position = max(position, stop)
    if position < frames:
        gaps.append((position, frames))
    return gaps


def inside(intervals: Iterable[Interval], start: int, stop: int) -> Iterator[Interval]:
    """What of each interval lies in [start, stop), counted from `start`; nothing of those that do not."""
    for first, last in intervals:
        first, last = max(first, start) - start, min(last, stop) - start
        if first < last:
            yield first, last
