"""Mixture consistency: stems are silent where marked silent and sum to the mix, whatever the estimates.

From estimates e_i, the mix m and the silence gains g_i (1, a fade, or 0), for every frame and channel:

1. Silence and sum:   s_i = g_i e_i + w_i (m - sum_j g_j e_j).
   The shares w_i (`residual_weights.py`) sum to 1 and are 0 where g_i is: the part that was removed from a
   silent source, and the residual of the estimates, go to the sources that are still active.
2. Range:   s_i <- b_i + a (s_i - b_i) with b_i = w_i m.
   The largest a in [0, 1] that brings all sources into the range of the encoding. The b_i sum to the mix and
   are silent where they must be, so the s_i still do and are.
3. Exact sum:   all sources but one are rounded to the 2^-23 grid, and that one is m minus their sum.
   It is, at each frame, the source with the largest share (of equals the last): never one that is marked
   silent while another plays, which rounding would make audible, if only at -140 dBFS.

Exactness of the sum, in float64 over the written samples:

| source | float32 stems | 24-bit stems |
|---|---|---|
| 16- or 24-bit | the mix exactly | the mix exactly |
| float, |m| <= 1 | the mix within 2^-25 to 2^-24 (-150 to -144 dBFS) | the mix rounded to 24 bits |
| float, louder | the same up to |m| = 2, then half a float32 step | clipped where even equal shares fail |

Stems of a mix whose channels are all the same have channels that are all the same, of the estimates' mean.

Where every source is marked silent the mix is shared evenly; `marks/validate.py` has made sure that
it is below -90 dBFS there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio import SourceFrames, StemEncoding
from ugosa_server.errors import SeparationFailedError
from ugosa_server.marks import SilenceGains
from ugosa_server.separation.residual_weights import (
    CELL_FRAMES,
    cell_powers,
    interpolate_powers,
    residual_weights,
)

STEP = 2.0**-23  # of a 24-bit sample; float32 holds all its multiples up to 2
FLOAT32_RANGE = (-2.0 + 2 * STEP, 2.0 - 2 * STEP)
PCM24_RANGE = (-1.0, 1.0 - STEP)
GROUP_FRAMES = 32 * CELL_FRAMES  # worked on at once, at multiples of this whatever blocks come in


class MixtureConsistency:
    """Pass over one song that turns estimated stems into stems that can be written."""

    def __init__(
        self,
        mix: SourceFrames | NDArray[np.float32],
        gains: SilenceGains,
        encoding: StemEncoding = StemEncoding.WAV_FLOAT32,
    ) -> None:
        """Take the song [T, C] at its own rate, and the silence gains of its S stems."""
        self._mix = mix
        self._gains = gains
        self._sources = gains.sources
        self._is_dual_mono = mix.shape[1] > 1 and _are_channels_equal(mix)
        self._is_float = encoding is StemEncoding.WAV_FLOAT32
        self._low, self._high = FLOAT32_RANGE if self._is_float else PCM24_RANGE
        self.clipped_samples = 0
        """Number of samples so far that no shares bring into the range of 24 bits: the mix is too loud."""

    def process(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield final stems [S, C, n] for estimates [S, C, n], which together have exactly T frames.

        The result does not depend on the sizes of the blocks that come in; those that go out have
        GROUP_FRAMES frames, the last one fewer.

        Raises:
            SeparationFailedError: an estimate has a sample that is NaN or infinite.
        """
        before = np.empty((len(self._sources), 0))  # power of the cell before the group
        start = 0
        groups = self._groups(blocks)
        group = next(groups, None)
        while group is not None:
            following = next(groups, None)
            stop = start + group.shape[2]
            inside = cell_powers(group)
            after = inside[:, :0] if following is None else cell_powers(following[..., :CELL_FRAMES])
            powers = interpolate_powers(
                np.concatenate([before, inside, after], axis=1),
                start // CELL_FRAMES - before.shape[1],
                start,
                stop,
            )
            yield self._finish(group, powers, start, stop)
            before = inside[:, -1:]
            start, group = stop, following

    def _groups(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield the estimates, checked, in blocks of GROUP_FRAMES, the last one shorter."""
        held, done = np.empty((len(self._sources), self._mix.shape[1], 0), np.float32), 0
        for block in blocks:
            require_finite(block, self._sources, done)
            done += block.shape[2]
            if self._is_dual_mono:
                block = np.broadcast_to(block.mean(axis=1, keepdims=True), block.shape)
            held = np.concatenate([held, block], axis=2)
            while held.shape[2] >= GROUP_FRAMES:
                yield held[..., :GROUP_FRAMES]
                held = held[..., GROUP_FRAMES:]
        if held.shape[2]:
            yield held

    def _finish(
        self, estimates: NDArray[np.float32], powers: NDArray[np.float64], start: int, stop: int
    ) -> NDArray[np.float32]:
        mix = np.asarray(self._mix[start:stop], dtype=np.float64).T  # [C, n]
        gains = self._gains.between(start, stop)
        weights = residual_weights(powers, gains)  # [S, n]
        stems = estimates * gains[:, None, :]  # [S, C, n], float64
        stems += weights[:, None, :] * (mix - stems.sum(axis=0))
        stems = self._bring_into_range(stems, mix, weights, gains)
        return self._round(stems, mix, weights)

    def _bring_into_range(
        self,
        stems: NDArray[np.float64],
        mix: NDArray[np.float64],
        weights: NDArray[np.float64],
        gains: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Apply step 2; where shares of the mix by power do not fit either, equal shares replace them."""
        margin = (len(stems) / 2 + 1) * STEP  # what rounding may add
        low, high = self._low + margin, self._high - margin
        if stems.min() >= low and stems.max() <= high:
            return stems
        total = gains.sum(axis=0)
        equal = np.where(total > 0.0, gains / np.where(total > 0.0, total, 1.0), 1.0 / len(gains))
        by_power = _move_within(equal[:, None, :] * mix, weights[:, None, :] * mix, low, high)
        return _move_within(by_power, stems, low, high)

    def _round(
        self, stems: NDArray[np.float64], mix: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Apply step 3."""
        stems = np.rint(stems / STEP) * STEP + 0.0  # [S, C, n]; + 0.0 turns -0 into 0
        # What is within the range stays as it is: float32 holds the grid there.
        stems = stems.astype(np.float32).astype(np.float64) if self._is_float else self._clip(stems)
        last_largest = len(weights) - 1 - np.argmax(weights[::-1], axis=0)  # [n]
        taker = np.broadcast_to(last_largest, (1, *mix.shape))  # [1, C, n]
        others = stems.sum(axis=0) - np.take_along_axis(stems, taker, axis=0)[0]
        remainder = mix - others
        if not self._is_float:
            remainder = self._clip(np.rint(remainder / STEP) * STEP)
        np.put_along_axis(stems, taker, remainder[None], axis=0)
        return stems.astype(np.float32)

    def _clip(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        clipped = samples.clip(self._low, self._high)
        self.clipped_samples += int(np.count_nonzero(clipped != samples))
        return clipped


def _are_channels_equal(mix: SourceFrames | NDArray[np.float32]) -> bool:
    """Return whether a song [T, C] is one channel, written C times."""
    blocks = (mix[start : start + GROUP_FRAMES] for start in range(0, len(mix), GROUP_FRAMES))
    return all(bool((block == block[:, :1]).all()) for block in blocks)


def require_finite(block: NDArray[np.float32], sources: Sequence[str], start_frame: int) -> None:
    """Check a block of estimates, [S, C, n] from `start_frame` on.

    Raises:
        SeparationFailedError: a sample is NaN or infinite.
    """
    if not np.isfinite(block).all():
        source, _, frame = np.argwhere(~np.isfinite(block))[0]
        raise SeparationFailedError(
            f"the network's {sources[source]} is not audio: NaN or infinite at frame "
            f"{start_frame + frame}; try a lower learning rate, or another model",
            source=sources[source],
        )


def _move_within(
    inner: NDArray[np.float64], outer: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64]:
    """Return inner + a (outer - inner) with the largest a in [0, 1] that keeps every source in [low, high].

    Shapes `[S, C, n]`; a is chosen per channel and frame. Where `inner` itself is out of range nothing is
    promised.
    """
    way = outer - inner
    bound = np.where(way > 0.0, high, low) - inner  # how far each source may go
    out_of_range = (outer < low) | (outer > high)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(out_of_range, bound / way, 1.0)
    # No way to go (0 / 0) from out of range: a = 0.
    a = np.nan_to_num(steps, nan=0.0, posinf=0.0, neginf=0.0).min(axis=0).clip(0.0, 1.0)  # [C, n]
    return np.where(a == 1.0, outer, inner + a * way)
