"""Leakage: energy of estimates in marked silence, before marks are applied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.formats import energy_dbfs
from ugosa_server.marks import MarkSet, inside


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

    def levels_dbfs(self) -> list[float | None]:
        """RMS level of each source; None where nothing is marked silent."""
        return [
            energy_dbfs(energy / samples) if samples else None
            for energy, samples in zip(self._energy, self._samples, strict=True)
        ]
