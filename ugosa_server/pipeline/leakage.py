"""Leakage: energy of estimates in marked silence, before marks are applied."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.formats import energy_dbfs
from ugosa_server.jobs.runs import RunEvent, RunPhase
from ugosa_server.marks import MarkSet, inside
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.estimate import NetworkPass
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.pipeline.plan import checks_adaptation

MAX_LEAKAGE_GROWTH = 1.01  # of its power, before an adaptation is rolled back where it is checked


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

    def measured(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Measure blocks while passing them on."""
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
    """Sum of levels of `LeakageMeter` as a mean square; None counts as nothing."""
    return math.fsum(10.0 ** (level / 10) for level in levels_dbfs if level is not None)


def adapted_leaks_more_than_base(
    context: RunContext, mix: ModelMix, base_dbfs: Sequence[float | None]
) -> Generator[RunEvent, None, bool]:
    """Return whether the adapted network leaks more than the base; False where not checked.

    Args:
        context: of the run, whose network is adapted.
        mix: the song for the network.
        base_dbfs: leakage of the base, as `LeakageMeter` gives it.
    """
    if not checks_adaptation(context.strategy, context.config):
        return False
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.SEPARATION)
    leakage = LeakageMeter(context.marks, context.ensemble.stems)
    for _ in leakage.measured(over_song.estimates()):
        yield from over_song.progress()
    n_playing = len(context.ensemble.playing)  # the residual's energy is no leakage
    before, after = (total_power(levels[:n_playing]) for levels in (base_dbfs, leakage.levels_dbfs()))
    if after <= before * MAX_LEAKAGE_GROWTH:
        return False
    yield context.journal.notice(
        "ROLLED_BACK",
        f"after the adaptation more leaked into marked silence than before ({energy_dbfs(after):.1f} "
        f"against {energy_dbfs(before):.1f} dBFS), so the stems are those of the model as it is; "
        "fewer epochs, a lower learning rate or more marks may do better",
    )
    return True
