"""The picture of a waveform: the lowest and highest sample of every bin, taken block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 1000  # more than a phone has pixels, about as many as a page on a screen


@dataclass(frozen=True)
class Waveform:
    """The extent of a signal over time, all channels together."""

    low: npt.NDArray[np.float32]
    """Lowest sample of each bin, [bins]."""
    high: npt.NDArray[np.float32]
    """Highest sample of each bin, [bins]."""

    @property
    def peak(self) -> float:
        """Largest absolute sample."""
        return float(max(self.high.max(), -self.low.min()))


class WaveformMeter:
    """Takes a signal block by block and gives its waveform."""

    def __init__(self, frames: int, bins: int = BINS) -> None:
        """Begin a signal.

        Args:
            frames: its length, at least 1.
            bins: how many equal spans to draw; fewer when it has fewer frames.
        """
        bins = min(bins, frames)
        # Strictly increasing, as bins <= frames.
        self._edges = np.arange(bins + 1, dtype=np.int64) * frames // bins
        self._low = np.full(bins, np.inf, np.float32)
        self._high = np.full(bins, -np.inf, np.float32)
        self._position = 0

    def add(self, block: npt.NDArray[np.floating]) -> None:
        """Take the next frames, [n, C], n at least 1."""
        start, end = self._position, self._position + len(block)
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        last = int(np.searchsorted(self._edges, end, side="left"))  # one past the last bin of this block
        # In samples of all channels, which lie side by side: to reduce those first would take much longer.
        cuts = (np.maximum(self._edges[first:last], start) - start) * block.shape[1]
        samples = np.ravel(block)
        here = slice(first, last)
        self._low[here] = np.minimum(self._low[here], np.minimum.reduceat(samples, cuts))
        self._high[here] = np.maximum(self._high[here], np.maximum.reduceat(samples, cuts))
        self._position = end

    def waveform(self) -> Waveform:
        """Give what it is, after the last frame."""
        return Waveform(self._low, self._high)
