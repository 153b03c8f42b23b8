"""Marked silence that is held back from training, for the guard to judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ugosa_server.marks import Interval, Mark, MarkSet, MarkState, complement, intersect

MIN_SILENCE_S = 6.0  # of a source, all marks together; of less nothing is held back
HELD_SHARE = 0.25  # of the silence of a source
MAX_HELD_S = 12.0
SAME_SHARE = 0.5  # of the shorter of two held-back spans: if more is common to both, they are one piece
NOTHING: Mapping[str, Sequence[Interval]] = {}


@dataclass(frozen=True)
class HeldBack:
    """Marked silence that training does not see."""

    spans: Mapping[str, Interval]
    """Frames by source; sources with too little silence have none."""
    training_marks: MarkSet
    """The marks without it."""

    @property
    def pieces(self) -> list[list[str]]:
        """The sources, those of which the same silence is held back together."""
        pieces: list[list[str]] = []
        for name, span in self.spans.items():
            same = [piece for piece in pieces if _are_same(self.spans[piece[0]], span)]
            if same:
                same[0].append(name)
            else:
                pieces.append([name])
        return pieces


def hold_back(
    marks: MarkSet,
    sources: Sequence[str],
    sample_rate_hz: int,
    learned: Mapping[str, Sequence[Interval]] = NOTHING,
) -> HeldBack:
    """Hold back a quarter of each source's marked silence, 12 s at most: the end of its longest mark.

    Of a source with less than 6 s nothing is held back. Where a quarter takes most of the longest of several
    marks, that mark is taken whole. Silence that was learned before cannot be held back any more; of a source
    with less than 1.5 s beside it nothing is.

    Args:
        marks: at the rate of the frames.
        sources: those that play; silence of others says nothing.
        sample_rate_hz: the rate.
        learned: silence by source that the network has learned already.
    """
    spans: dict[str, Interval] = {}
    for source in sources:
        silent = marks.silent(source)
        total = sum(stop - start for start, stop in silent)
        free = intersect(silent, complement(learned.get(source, ()), silent[-1][1])) if silent else []
        unlearned = sum(stop - start for start, stop in free)
        if total < (least := MIN_SILENCE_S * sample_rate_hz) or unlearned < HELD_SHARE * least:
            continue
        length = min(round(HELD_SHARE * total), round(MAX_HELD_S * sample_rate_hz))
        start, stop = max(free, key=lambda span: span[1] - span[0])
        whole = len(free) > 1 and stop - start <= 1.5 * length
        spans[source] = (start if whole else max(start, stop - length), stop)
    kept = [
        Mark(source, MarkState.SILENT, *part)
        for source in marks.sources
        for span in marks.silent(source)
        for part in intersect([span], complement([spans[source]], span[1]) if source in spans else [span])
    ]
    active = [mark for mark in marks.marks if mark.state is MarkState.ACTIVE]
    return HeldBack(spans, MarkSet((*kept, *active)))


def _are_same(one: Interval, other: Interval) -> bool:
    common = min(one[1], other[1]) - max(one[0], other[0])
    return common > SAME_SHARE * min(one[1] - one[0], other[1] - other[0])
