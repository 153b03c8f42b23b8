"""The excerpt of a report: one short stretch of the song as every take sounds there.

It lies where about half is marked silent, so that one hears both what the marks do and what the rest of the
song is like. Takes are the model as it is, the model under the marks, and the adapted model under the marks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio import SourceFrames
from ugosa_server.marks import Interval, MarkSet, SilenceGains, inside
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.rest_stem import StemChooser
from ugosa_server.separation.mixture_consistency import MixtureConsistency
from ugosa_server.separation.residual_weights import CELL_FRAMES
from ugosa_server.separation.wiener import WINDOW_S, wiener_filtered

MARGIN_S = 2 * WINDOW_S + 0.1  # around the excerpt: what filter and consistency look at


class ExcerptRecorder:
    """Record of one pass over the song: the stems in the excerpt, and what they were made of."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._estimates = _Stretch(_with_margin(context))
        self._stems = _Stretch(context.excerpt)

    def add_estimates(self, estimates: NDArray[np.float32]) -> None:
        """Take the next frames of the estimates, [S, C, n]."""
        self._estimates.add(estimates)

    def add_stems(self, stems: NDArray[np.float32]) -> None:
        """Take the next frames of the stems that the run gives, [S', C, n]."""
        self._stems.add(stems)

    def stems(self) -> NDArray[np.float32]:
        """Return the stems in the excerpt, [S', C, n]."""
        return self._stems.audio()

    def stems_without_marks(self) -> NDArray[np.float32]:
        """Return the stems that the same estimates give if nothing is marked, [S', C, n]."""
        context, (start, stop) = self._context, self._estimates.span
        mix = context.frames[start:stop]
        gains = SilenceGains(MarkSet(), context.ensemble.stems, len(mix), context.spec.source.sample_rate_hz)
        estimates = filtered(context, iter([self._estimates.audio()]), gains, mix)
        consistency = MixtureConsistency(mix, gains, context.spec.options.stem_encoding)
        chooser = StemChooser(context.ensemble.choice, mix, context.spec.options.stem_encoding)
        stems = np.concatenate([chooser.chosen(block) for block in consistency.process(estimates)], axis=-1)
        first, last = context.excerpt
        return stems[..., first - start : last - start]


class _Stretch:
    """Frames of one span of a stream of blocks."""

    def __init__(self, span: Interval) -> None:
        self.span = span
        self._parts: list[NDArray[np.float32]] = []
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        end = self._position + block.shape[-1]
        self._parts += [block[..., a:b].copy() for a, b in inside([self.span], self._position, end)]
        self._position = end

    def audio(self) -> NDArray[np.float32]:
        return np.concatenate(self._parts, axis=-1)


def filtered(
    context: RunContext,
    estimates: Iterator[NDArray[np.float32]],
    gains: SilenceGains,
    mix: SourceFrames | NDArray[np.float32],
) -> Iterator[NDArray[np.float32]]:
    """Pass estimates of a mix through the Wiener filter, if the job wants one."""
    exponent = context.spec.options.separation.wiener_exponent
    if exponent == 0:
        return estimates
    return wiener_filtered(estimates, mix, gains, exponent, context.model.device, context.calibration)


def _with_margin(context: RunContext) -> Interval:
    """Return the excerpt with what is looked at around it, from the start of a cell on."""
    first, last = context.excerpt
    margin = round(MARGIN_S * context.spec.source.sample_rate_hz) + CELL_FRAMES
    start = max(0, first - margin) // CELL_FRAMES * CELL_FRAMES
    return start, min(context.spec.source.frames, last + margin)
