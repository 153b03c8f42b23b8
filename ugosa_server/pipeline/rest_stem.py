"""Stems to write, of the stems that were made: the chosen ones, and what the mix has besides them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio import SourceFrames, StemEncoding
from ugosa_server.audio.encode import PCM24_STEPS
from ugosa_server.jobs.stem_choice import REST, StemChoice
from ugosa_server.marks import Mark, MarkSet, MarkState, intersect


class StemChooser:
    """Chooses stems from a stream of blocks of a whole song.

    The rest is mix - sum(chosen), computed once, so that the chosen stems are bit for bit those of a job that
    gives all, and the sum is as exact as there.
    """

    def __init__(
        self, choice: StemChoice, mix: SourceFrames | NDArray[np.float32], encoding: StemEncoding
    ) -> None:
        self._choice, self._mix = choice, mix
        self._rows = [choice.made.index(name) for name in choice.names if name != REST]
        is_float = encoding is StemEncoding.WAV_FLOAT32
        self._low, self._high = (-np.inf, np.inf) if is_float else (-1.0, 1.0 - 1.0 / PCM24_STEPS)
        self._position = 0
        self.clipped_samples = 0
        """Number of samples of the rest so far that 24 bits cannot hold."""

    def chosen(self, stems: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the stems to write, [S', C, n], of the next frames of all, [S, C, n]."""
        start, self._position = self._position, self._position + stems.shape[-1]
        if not self._choice.others:
            return stems
        kept = stems[self._rows]
        mix = self._mix[start : self._position].astype(np.float64).T  # [C, n]
        rest = mix - kept.sum(axis=0, dtype=np.float64)
        self.clipped_samples += int(np.count_nonzero((rest < self._low) | (rest > self._high)))
        return np.concatenate([kept, rest[None].astype(np.float32)])


def marks_of_rest(marks: MarkSet, choice: StemChoice) -> MarkSet:
    """Add the silence of the rest: where all stems are marked silent that it is the sum of."""
    if not choice.others:
        return marks
    shared = reduce(intersect, (list(marks.silent(name)) for name in choice.others))
    return MarkSet((*marks.marks, *(Mark(REST, MarkState.SILENT, *span) for span in shared)))


def levels_of_choice(levels: Sequence[float | None], choice: StemChoice) -> list[float | None]:
    """Return a level for each stem to write, of those of all stems; None for the rest, which has none."""
    by_name = dict(zip(choice.made, levels, strict=True))
    return [by_name.get(name) for name in choice.names]
