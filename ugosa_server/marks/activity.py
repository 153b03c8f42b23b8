"""From marks to what the algorithms need: the activity h of Eq. 2 and the gains that silence a stem.

Three states: in a SILENT mark h = 0; in an ACTIVE mark and in unmarked (unknown) time h = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.marks.model import Interval, Mark, MarkState, merge

FADE_S = 0.010  # raised cosine, inside the silent region at its edges


def silent_spans(marks: Sequence[Mark], source: str) -> list[Interval]:
    """Where a source is marked silent: sorted spans that neither overlap nor touch."""
    return merge(
        (mark.start_frame, mark.end_frame)
        for mark in marks
        if mark.source == source and mark.state is MarkState.SILENT
    )


def fade_frames(sample_rate_hz: int) -> int:
    """Length of the fade at an edge of a silent region; the gain is exactly 0 from its last frame on."""
    return max(1, round(FADE_S * sample_rate_hz))


def activity(
    marks: Sequence[Mark], sources: Sequence[str], start_frame: int, stop_frame: int
) -> NDArray[np.float32]:
    """h[i, n] `[S, n]` of the frames [start_frame, stop_frame): 0 where i is marked silent, else 1."""
    h = np.ones((len(sources), stop_frame - start_frame), dtype=np.float32)
    for row, source in zip(h, sources, strict=True):
        for start, stop in silent_spans(marks, source):
            row[max(0, start - start_frame) : max(0, stop - start_frame)] = 0.0
    return h


def marks_at_rate(marks: Sequence[Mark], from_rate_hz: int, to_rate_hz: int) -> tuple[Mark, ...]:
    """The marks on another sample grid: frame m is in a mark if its time, m / to_rate, is.

    Marks that hold no frame of the other grid vanish.
    """

    def frame_at_or_after(frame: int) -> int:
        return -(-frame * to_rate_hz // from_rate_hz)

    moved = (
        Mark(mark.source, mark.state, frame_at_or_after(mark.start_frame), frame_at_or_after(mark.end_frame))
        for mark in marks
    )
    return tuple(mark for mark in moved if mark.start_frame < mark.end_frame)


def model_rate_activity(
    marks: Sequence[Mark],
    sources: Sequence[str],
    source_rate_hz: int,
    model_rate_hz: int,
    start_frame: int,
    stop_frame: int,
) -> NDArray[np.float32]:
    """As `activity`, with marks in source frames but start_frame and stop_frame in model-rate frames."""
    return activity(marks_at_rate(marks, source_rate_hz, model_rate_hz), sources, start_frame, stop_frame)


def silence_gains(
    marks: Sequence[Mark],
    sources: Sequence[str],
    frames: int,
    sample_rate_hz: int,
    start_frame: int,
    stop_frame: int,
) -> NDArray[np.float64]:
    """Gains g[i, n] for the frames [start_frame, stop_frame): 1 outside silent regions, 0 inside. `[S, n]`.

    Raised-cosine fades of `FADE_S` lie inside the region: with F fade frames, the k-th frame from an edge (k
    = 1, 2, ...) has gain (1 + cos(pi k / F)) / 2 up to k = F, and exactly 0 from there. An edge that is the
    start or the end of the song has no fade. In a region shorter than two fades the larger of both gains
    counts: it gets as far down as the fades allow.
    """
    fade = fade_frames(sample_rate_hz)
    ramp = 0.5 * (1.0 + np.cos(np.pi * np.arange(fade + 1) / fade))
    gains = np.ones((len(sources), stop_frame - start_frame))
    for row, source in zip(gains, sources, strict=True):
        for start, stop in silent_spans(marks, source):
            first, last = max(start, start_frame), min(stop, stop_frame)
            if first >= last:
                continue
            n = np.arange(first, last)
            from_start = n - start + 1 if start > 0 else np.full_like(n, fade)
            from_stop = stop - n if stop < frames else np.full_like(n, fade)
            row[first - start_frame : last - start_frame] = ramp[
                np.minimum(np.minimum(from_start, from_stop), fade)
            ]
    return gains
