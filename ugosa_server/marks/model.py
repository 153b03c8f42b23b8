"""The musician's marks: regions in which a source is known to play or to be silent.

Positions are integer frames at the source's own sample rate, the end exclusive. Time that no mark of a source
covers is *unknown*: the source may play there.

Sets of frames as half-open intervals: `(start, stop)` holds start, start + 1, ..., stop - 1.

A *merged* list is sorted, and its intervals are not empty and neither overlap nor touch: one list for one
set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Interval = tuple[int, int]


class MarkState(StrEnum):
    """State of a source in a mark; unmarked time is neither."""

    ACTIVE = "active"
    SILENT = "silent"


@dataclass(frozen=True, order=True)
class Mark:
    """One region of one source."""

    source: str
    """Name of a source of the model, for example "vocals"."""
    state: MarkState
    """State of the source in the region."""
    start_frame: int
    """First frame, at the source rate; 0 <= start_frame < end_frame."""
    end_frame: int
    """One past the last frame, at most the number of frames of the song."""

    @property
    def span(self) -> Interval:
        """Frames of the region."""
        return self.start_frame, self.end_frame


def clock(time_s: float) -> str:
    """Write a time in a song for people: 1:02.5."""
    minutes, rest = divmod(round(time_s * 10), 600)
    return f"{minutes}:{rest / 10:04.1f}"


@dataclass(frozen=True)
class MarkSet:
    """Marks of one song, with the merged spans of each source worked out once."""

    marks: tuple[Mark, ...] = ()
    _spans: Mapping[tuple[str, MarkState], tuple[Interval, ...]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        regions: dict[tuple[str, MarkState], list[Interval]] = defaultdict(list)
        for mark in self.marks:
            regions[mark.source, mark.state].append(mark.span)
        spans = {key: tuple(merge(found)) for key, found in regions.items()}
        object.__setattr__(self, "_spans", spans)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names that occur in the marks, each once, in the order of their first mark."""
        return tuple(dict.fromkeys(mark.source for mark in self.marks))

    def joined(self) -> tuple[Mark, ...]:
        """Return the same time in as few marks as it takes, sorted."""
        spans = self._spans.items()
        return tuple(sorted(Mark(source, state, *span) for (source, state), found in spans for span in found))

    @property
    def has_silence(self) -> bool:
        """True if any source is marked silent anywhere."""
        return any(state is MarkState.SILENT for _, state in self._spans)

    def silent(self, source: str) -> tuple[Interval, ...]:
        """Return the spans in which a source is marked silent: sorted, neither overlapping nor touching."""
        return self._spans.get((source, MarkState.SILENT), ())

    def active(self, source: str) -> tuple[Interval, ...]:
        """Return the spans in which a source is marked active, as `silent` does."""
        return self._spans.get((source, MarkState.ACTIVE), ())

    def at_rate(self, from_rate_hz: int, to_rate_hz: int) -> MarkSet:
        """Move the marks to another sample grid: frame m is in a mark if its time, m / to_rate, is.

        Marks that hold no frame of the other grid vanish.
        """

        def frame_at_or_after(frame: int) -> int:
            return -(-frame * to_rate_hz // from_rate_hz)

        moved = (
            Mark(m.source, m.state, frame_at_or_after(m.start_frame), frame_at_or_after(m.end_frame))
            for m in self.marks
        )
        return MarkSet(tuple(mark for mark in moved if mark.start_frame < mark.end_frame))


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
    """Clip intervals to [start, stop) and shift them to start at 0; drop empty ones."""
    for first, last in intervals:
        first, last = max(first, start) - start, min(last, stop) - start
        if first < last:
            yield first, last
