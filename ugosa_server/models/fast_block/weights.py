"""The parameters of a block, in the shapes of checkpoints and in those of matrix products."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ugosa_server.models.fast_block.prelu import Prelu


class BlockWeights(NamedTuple):
    """The parameters of a `TemporalBlock` in its own order, in the shapes of the published checkpoints."""

    up: Tensor
    """[H, B, 1]."""
    up_slope: Tensor
    """[1]."""
    up_gamma: Tensor
    """[1, H, 1]."""
    up_beta: Tensor
    """[1, H, 1]."""
    taps: Tensor
    """[H, 1, P]."""
    taps_slope: Tensor
    """[1]."""
    taps_gamma: Tensor
    """[1, H, 1]."""
    taps_beta: Tensor
    """[1, H, 1]."""
    down: Tensor
    """[B, H, 1]."""


class FoldedWeights:
    """Weights as matrices and rows, and the offsets of the taps."""

    def __init__(self, weights: BlockWeights, dilation: int) -> None:
        self.up, self.down = weights.up.flatten(1), weights.down.flatten(1)  # [H, B], [B, H]
        self.up_prelu, self.taps_prelu = Prelu(weights.up_slope), Prelu(weights.taps_slope)
        self.up_gamma, self.up_beta = weights.up_gamma.flatten(), weights.up_beta.flatten()
        self.taps_gamma, self.taps_beta = weights.taps_gamma.flatten(), weights.taps_beta.flatten()
        self.taps = weights.taps.squeeze(1).t().contiguous()  # [P, H]
        self.channels, n_taps = len(self.up), len(self.taps)
        self.centre = n_taps // 2
        self.offsets = [(tap - self.centre) * dilation for tap in range(n_taps)]
