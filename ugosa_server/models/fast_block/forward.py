"""The two passes of a block forward."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ugosa_server.models.fast_block.norm import Norm, Statistics
from ugosa_server.models.fast_block.prelu import prelu
from ugosa_server.models.fast_block.scratch import Scratch, chunks
from ugosa_server.models.fast_block.weights import FoldedWeights


class Forward(NamedTuple):
    """What the forward pass leaves beside the tensors that it wrote."""

    p_norm: Norm
    t_norm: Norm
    constant: Tensor
    """W_down c of the second norm, [B]."""


def block_forward(
    x: Tensor, u: Tensor, q: Tensor | None, y: Tensor, weights: FoldedWeights, scratch: Scratch
) -> Forward:
    """Write u (or p in its place, without q) and q, [K, H], and y = t @ (gamma W_down)^T, [K, B]."""
    n_frames, keeps = len(x), q is not None
    up = weights.up.t()
    statistics = Statistics()
    p = scratch.take("p", n_frames, weights.channels, x) if keeps else u
    for chunk in chunks(x, weights.channels):
        torch.mm(x[chunk], up, out=u[chunk])
        statistics.add(prelu(u[chunk], weights.up_slope, p[chunk]))
    p_norm = statistics.norm(weights.up_gamma, weights.up_beta)

    taps, tap_constants = weights.taps * p_norm.a, weights.taps * p_norm.c  # [P, H]
    constant = tap_constants.sum(dim=0)
    down = (weights.down * weights.taps_gamma).t()
    statistics = Statistics()
    for chunk in chunks(x, weights.channels):
        n = chunk.stop - chunk.start
        out = q[chunk] if q is not None else scratch.take("t", n, weights.channels, x)
        torch.addcmul(constant, p[chunk], taps[weights.centre], out=out)
        for tap, offset, tap_constant in zip(taps, weights.offsets, tap_constants, strict=True):
            if offset == 0:
                continue
            first, last = add_shifted(out, p, tap, offset, chunk)
            out[:first] -= tap_constant  # where the tap hangs over the edge it meets a zero, not c
            out[last:] -= tap_constant
        t = prelu(out, weights.taps_slope, scratch.take("t", n, weights.channels, x))
        statistics.add(t)
        torch.mm(t, down, out=y[chunk])
    t_norm = statistics.norm(weights.taps_gamma, weights.taps_beta)
    return Forward(p_norm, t_norm, weights.down @ t_norm.c)


def add_shifted(out: Tensor, source: Tensor, row: Tensor, offset: int, chunk: slice) -> tuple[int, int]:
    """Add row * source[k + offset] for the frames k of the chunk where that frame exists.

    Returns:
        The rows [first, last) of `out` that got something.
    """
    start = min(max(chunk.start, -offset), chunk.stop)
    stop = max(min(chunk.stop, len(source) - offset), start)
    first, last = start - chunk.start, stop - chunk.start
    if first < last:
        out[first:last].addcmul_(source[start + offset : stop + offset], row)
    return first, last
