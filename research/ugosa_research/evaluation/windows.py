"""The windows of framewise metrics, and how their values become one number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """Windows into which a song is cut for metrics."""

    window_s: float
    """Length of a window in seconds; a song that is shorter is one window."""
    hop_s: float
    """Distance between starts in seconds."""

    def slices(self, frames: int, sample_rate_hz: int) -> Iterator[slice]:
        """The windows that lie wholly in the song, as BSS Eval v4 takes them; a rest does not count."""
        window, hop = round(self.window_s * sample_rate_hz), round(self.hop_s * sample_rate_hz)
        if window >= frames:
            yield slice(0, frames)
            return
        for start in range(0, frames - window + 1, hop):
            yield slice(start, start + window)


AUTHORS = Windows(2.0, 1.5)
"""Windows of the code that the paper's authors published."""
SISEC = Windows(1.0, 1.0)
"""Windows of the campaign: Stoeter, Liutkus and Ito, "The 2018 Signal Separation Evaluation Campaign"."""
WINDOWS = {"authors": AUTHORS, "sisec": SISEC}


def median(values: NDArray[np.float64]) -> float:
    """Median of the values that are numbers, infinity included; NaN of none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
