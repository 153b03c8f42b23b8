"""Marks that say "nothing plays" where the mix sounds: told before any compute is spent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from ugosa_server.activations.activity import fade_frames, silent_spans
from ugosa_server.activations.intervals import Interval, complement, intersect
from ugosa_server.activations.marks import Mark, MarkState
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.audio.frames import open_frames
from ugosa_server.audio.level import amplitude, peak_dbfs
from ugosa_server.errors import AllSilentError

SILENCE_DBFS = -90.0  # a stem is silent when its peak is no higher


def all_silent_spans(
    marks: Sequence[Mark], sources: Sequence[str], frames: int, sample_rate_hz: int
) -> list[Interval]:
    """Where every source is marked silent and none is left in a fade, as sorted disjoint spans."""
    spans = reduce(intersect, (silent_spans(marks, source) for source in sources))
    fade = fade_frames(sample_rate_hz)
    inner = (
        (start + fade - 1 if start > 0 else start, stop - fade + 1 if stop < frames else stop)
        for start, stop in spans
    )
    return [(start, stop) for start, stop in inner if start < stop]


def without_all_silent(marks: Sequence[Mark], sources: Sequence[str]) -> tuple[Mark, ...]:
    """The marks without the SILENT time that all sources share, which becomes unmarked.

    For marks that a procedure made from levels: it calls every source silent in a soft intro, though the mix
    is heard there.
    """
    shared = reduce(intersect, (silent_spans(marks, source) for source in sources))
    kept = [mark for mark in marks if mark.state is not MarkState.SILENT]
    end = max((mark.end_frame for mark in marks), default=0)
    for source in sources:
        spans = intersect(silent_spans(marks, source), complement(shared, end))
        kept.extend(Mark(source, MarkState.SILENT, *span) for span in spans)
    return tuple(sorted(kept))


def check_all_silent(marks: Sequence[Mark], sources: Sequence[str], source: SourceAudio) -> None:
    """Refuse marks under which no stem may sound where the mix does. Reads only the spans in question.

    Raises:
        AllSilentError: names the first such span, its times, and the mix's level there.
    """
    spans = all_silent_spans(marks, sources, source.frames, source.sample_rate_hz)
    if not spans:
        return
    with open_frames(source) as frames:
        for start, stop in spans:
            peak = max(float(np.abs(block).max()) for block in frames.blocks(start, stop))
            if peak > amplitude(SILENCE_DBFS):
                raise AllSilentError(
                    f"all sources are marked silent from {start / source.sample_rate_hz:.3f} s to "
                    f"{stop / source.sample_rate_hz:.3f} s (frames {start} to {stop}), but the mix sounds"
                    f" there (peak {peak_dbfs(peak):.1f} dBFS); unmark at least one source there",
                    start_frame=start,
                    end_frame=stop,
                )
