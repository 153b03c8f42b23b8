"""From marks to the numbers that the algorithms take: the activity h of Eq. 2, and gains that silence a stem.

Three states: in a SILENT mark h = 0; in an ACTIVE mark and in unmarked (unknown) time h = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.marks.model import Interval, MarkSet

FADE_S = 0.010  # raised cosine, inside the silent region at its edges


def fade_frames(sample_rate_hz: int) -> int:
    """Length of the fade at an edge of a silent region; the gain is exactly 0 from its last frame on."""
    return max(1, round(FADE_S * sample_rate_hz))


def activity(
    marks: MarkSet, sources: Sequence[str], start_frame: int, stop_frame: int
) -> NDArray[np.float32]:
    """h[i, n] `[S, n]` of the frames [start_frame, stop_frame): 0 where i is marked silent, else 1."""
    h = np.ones((len(sources), stop_frame - start_frame), dtype=np.float32)
    for row, source in zip(h, sources, strict=True):
        for start, stop in marks.silent(source):
            row[max(0, start - start_frame) : max(0, stop - start_frame)] = 0.0
    return h


class SilenceGains:
    """Gains g[i, n] of a song: 1 outside marked silence, 0 inside. Made once, read block by block.

    Raised-cosine fades of `FADE_S` lie inside the region: with F fade frames, the k-th frame from an edge (k
    = 1, 2, ...) has gain (1 + cos(pi k / F)) / 2 up to k = F, and exactly 0 from there. An edge that is the
    start or the end of the song has no fade. In a region shorter than two fades the larger of both gains
    counts: it gets as far down as the fades allow.
    """

    def __init__(self, marks: MarkSet, sources: Sequence[str], n_frames: int, sample_rate_hz: int) -> None:
        """Take the marks of a song of `n_frames` frames, and the names of its S stems in order."""
        self.sources = tuple(sources)
        self.sample_rate_hz = sample_rate_hz
        self._n_frames = n_frames
        self._spans = [marks.silent(source) for source in sources]
        self._fade = fade_frames(sample_rate_hz)
        self._ramp = 0.5 * (1.0 + np.cos(np.pi * np.arange(self._fade + 1) / self._fade))

    def between(self, start_frame: int, stop_frame: int) -> NDArray[np.float64]:
        """Return the gains of the frames [start_frame, stop_frame), `[S, n]`."""
        gains = np.ones((len(self.sources), stop_frame - start_frame))
        for row, spans in zip(gains, self._spans, strict=True):
            for span in spans:
                first, last = max(span[0], start_frame), min(span[1], stop_frame)
                if first < last:
                    row[first - start_frame : last - start_frame] = self._of_span(span, first, last)
        return gains

    def _of_span(self, span: Interval, first: int, last: int) -> NDArray[np.float64] | float:
        """Gains of the frames [first, last) of a silent span."""
        start, stop = span
        fades_in = start > 0 and first < start + self._fade
        fades_out = stop < self._n_frames and last > stop - self._fade
        if not fades_in and not fades_out:
            return 0.0
        n = np.arange(first, last)
        from_start = n - start + 1 if start > 0 else np.full_like(n, self._fade)
        from_stop = stop - n if stop < self._n_frames else np.full_like(n, self._fade)
        return self._ramp[np.minimum(np.minimum(from_start, from_stop), self._fade)]
