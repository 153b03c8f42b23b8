"""What is measured of estimates under the marks: leakage; and where it is best heard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.formats import energy_dbfs
from ugosa_server.marks import Interval, MarkSet, inside


class LeakageMeter:
    """Energy of each source's estimate inside its own marked silence, over a stream of blocks."""

    def __init__(self, marks: MarkSet, sources: Sequence[str]) -> None:
        self._spans = [marks.silent(source) for source in sources]
        self._energy = [0.0] * len(sources)
        self._samples = [0] * len(sources)
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all stems, [S, C, n]."""
        end = self._position + block.shape[-1]
        for i, spans in enumerate(self._spans):
            for first, last in inside(spans, self._position, end):
                part = block[i, :, first:last]
                self._energy[i] += float(np.square(part, dtype=np.float64).sum())
                self._samples[i] += part.size
        self._position = end

    def listen(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Pass blocks on, measuring them."""
        for block in blocks:
            self.add(block)
            yield block

    def levels_dbfs(self) -> list[float | None]:
        """RMS level of each source; None where nothing is marked silent."""
        return [
            energy_dbfs(energy / samples) if samples else None
            for energy, samples in zip(self._energy, self._samples, strict=True)
        ]


def total_power(levels_dbfs: Sequence[float | None]) -> float:
    """The sum of levels of `LeakageMeter` as a mean square; None counts as nothing."""
    return math.fsum(10.0 ** (level / 10) for level in levels_dbfs if level is not None)


def densest_window(marks: MarkSet, n_frames: int, window_frames: int) -> Interval:
    """The window that holds most marked silence, all sources together; the first one of equals."""
    window_frames = min(window_frames, n_frames)
    spans = [span for source in marks.sources for span in marks.silent(source)]
    last_start = n_frames - window_frames
    # Coverage is piecewise linear in the start; its corners are where an end of the window meets a mark's.
    corners = {edge - offset for span in spans for edge in span for offset in (0, window_frames)}
    starts = sorted({0, *(min(max(0, corner), last_start) for corner in corners)})

    def coverage(start: int) -> int:
        return sum(max(0, min(b, start + window_frames) - max(a, start)) for a, b in spans)

    best = max(starts, key=coverage)
    return best, best + window_frames
