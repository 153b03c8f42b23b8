"""The two passes of a block forward."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ugosa_server.models.conv_tasnet.fast_block.layers import FoldedWeights, Norm, Scratch, Statistics, chunks


class Kept(NamedTuple):
    """Input of the backward pass of a block, which writes over `q`."""

    x: Tensor
    """[K, B]."""
    u: Tensor
    """[K, H]; p where p tells u (`Prelu.keeps_output`)."""
    q: Tensor
    """[K, H]; t where t tells q."""
    p_norm: Norm
    t_norm: Norm


def forward_kept(x: Tensor, out: Tensor, weights: FoldedWeights, scratch: Scratch) -> Kept:
    """Run the block from x to `out`, [K, B]; return what its gradient needs, borrowed."""
    u, q = (scratch.borrow(len(x), weights.channels, x) for _ in range(2))
    p = u if weights.up_prelu.keeps_output else scratch.take("p", len(x), weights.channels, x)
    p_norm = _to_p(x, u, p, weights)
    t_norm = _to_y(p, p_norm, q, out, weights, scratch)
    _add_residual(x, out, t_norm, weights, out)
    return Kept(x, u, q, p_norm, t_norm)


def forward_in_place(x: Tensor, weights: FoldedWeights, scratch: Scratch) -> None:
    """Run the block and write its output over x, [K, B]; nothing is kept."""
    p = scratch.take("p", len(x), weights.channels, x)
    y = scratch.take("y", len(x), x.shape[1], x)
    p_norm = _to_p(x, p, p, weights)
    t_norm = _to_y(p, p_norm, None, y, weights, scratch)
    _add_residual(x, y, t_norm, weights, x)


def _to_p(x: Tensor, u: Tensor, p: Tensor, weights: FoldedWeights) -> Norm:
    """Write u and p, [K, H], which may be the same memory."""
    up = weights.up.t()
    statistics = Statistics()
    for chunk in chunks(x, weights.channels):
        torch.mm(x[chunk], up, out=u[chunk])
        statistics.add(weights.up_prelu.forward(u[chunk], p[chunk]))
    return statistics.norm(weights.up_gamma, weights.up_beta)


def _to_y(
    p: Tensor, p_norm: Norm, q: Tensor | None, y: Tensor, weights: FoldedWeights, scratch: Scratch
) -> Norm:
    """Write y = t @ (gamma W_down)^T, [K, B], and q (or t), [K, H], where it is wanted."""
    taps, tap_constants = weights.taps * p_norm.a, weights.taps * p_norm.c  # [P, H]
    constant = tap_constants.sum(dim=0)
    rows = list(zip(taps, weights.offsets, tap_constants, strict=True))
    down = (weights.down * weights.taps_gamma).t()
    keeps_q = q is not None and not weights.taps_prelu.keeps_output
    statistics = Statistics()
    for chunk in chunks(p, weights.channels):
        n = chunk.stop - chunk.start
        out = q[chunk] if q is not None else scratch.take("t", n, weights.channels, p)
        torch.addcmul(constant, p[chunk], taps[weights.centre], out=out)
        for tap, offset, tap_constant in rows:
            if offset == 0:
                continue
            first, last = add_shifted(out, p, tap, offset, chunk)
            for edge in (out[:first], out[last:]):
                if len(edge):  # where the tap hangs over the edge it meets a zero, not c
                    edge -= tap_constant
        t = weights.taps_prelu.forward(out, scratch.take("t", n, weights.channels, p) if keeps_q else out)
        statistics.add(t)
        torch.mm(t, down, out=y[chunk])
    return statistics.norm(weights.taps_gamma, weights.taps_beta)


def _add_residual(x: Tensor, y: Tensor, t_norm: Norm, weights: FoldedWeights, out: Tensor) -> None:
    """Write x + r y + W_down c, [K, B]."""
    scale = t_norm.scale.expand(x.shape[1]).contiguous()  # a row, which is faster than a number
    constant = weights.down @ t_norm.c
    for chunk in chunks(x, x.shape[1]):
        torch.addcmul(x[chunk], y[chunk], scale, out=out[chunk]).add_(constant)


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
