"""The three passes of a block backward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ugosa_server.models.conv_tasnet.fast_block.forward import Kept, add_shifted
from ugosa_server.models.conv_tasnet.fast_block.layers import (
    FoldedWeights,
    NormGradient,
    Scratch,
    chunks,
    norm_gradient,
)


def block_backward(
    g: Tensor, kept: Kept, weights: FoldedWeights, scratch: Scratch, *, needs_x: bool, needs_only_down: bool
) -> Sequence[Tensor | None]:
    """Gradients of the weights in their order from g = d out, [K, B]; d x, if needed, is written over g."""
    x, n_frames, channels = kept.x, len(kept.x), weights.channels
    p_norm, t_norm = kept.p_norm, kept.t_norm

    # d W_down, and through it the sums over frames that the second norm needs.
    t = weights.taps_prelu.output(kept.q, "t", scratch)
    g_t, g_sum = g.t() @ t, g.sum(dim=0)  # sum_k g[k] t[k]^T, [B, H]; [B]
    d_down = torch.addcmul(g_t * t_norm.a, g_sum.unsqueeze(1), t_norm.c)  # [B, H]
    if needs_only_down:
        return [*[None] * 8, d_down]
    d_t_norm = norm_gradient(
        g_sum @ weights.down, (weights.down * g_t).sum(dim=0), t_norm, weights.taps_gamma, n_frames
    )

    # d q, [K, H], and what the taps and the first norm need: sums of d q and of d q[k] p[k + offset].
    p = weights.up_prelu.output(kept.u, "p", scratch)
    d_q = kept.q  # written over
    slope, constant = _rows(d_t_norm, weights)
    down = weights.down * t_norm.a
    products = [  # [n, H] for every tap; chunks are added up before frames are
        scratch.take(f"product {tap}", next(chunks(x, channels)).stop, channels, x).zero_()
        for tap in range(len(weights.offsets))
    ]
    d_q_sum = torch.zeros_like(weights.up_gamma)
    d_taps_slope = torch.zeros_like(weights.up_gamma[:1])
    for chunk in chunks(x, channels):
        n = chunk.stop - chunk.start
        d_t, temporary = (scratch.take(name, n, channels, x) for name in ("d", "temporary"))
        torch.addcmul(constant, t[chunk], slope, out=d_t).addmm_(g[chunk], down)
        d_taps_slope += weights.taps_prelu.backward(d_t, kept.q[chunk], d_q[chunk], temporary)
        d_q_sum += d_q[chunk].sum(dim=0)
        for product, offset in zip(products, weights.offsets, strict=True):
            start = min(max(chunk.start, -offset), chunk.stop)
            stop = max(min(chunk.stop, n_frames - offset), start)
            product[: stop - start].addcmul_(d_q[start:stop], p[start + offset : stop + offset])
    d_q_p = torch.stack([product.sum(dim=0) for product in products])  # [P, H]
    d_q_sums = torch.stack([d_q_sum - _outside(d_q, offset) for offset in weights.offsets])  # [P, H]
    d_taps = torch.addcmul(d_q_p * p_norm.a, d_q_sums, p_norm.c)  # [P, H]
    d_p_norm = norm_gradient(
        (weights.taps * d_q_sums).sum(dim=0),
        (weights.taps * d_q_p).sum(dim=0),
        p_norm,
        weights.up_gamma,
        n_frames,
    )

    # d u a chunk at a time, and with it d W_up and d x.
    slope, constant = _rows(d_p_norm, weights)
    taps = list(zip(weights.taps * p_norm.a, weights.offsets, strict=True))
    d_up = torch.zeros_like(weights.up)
    d_up_slope = torch.zeros_like(d_taps_slope)
    for chunk in chunks(x, channels):
        n = chunk.stop - chunk.start
        d_p, temporary = (scratch.take(name, n, channels, x) for name in ("d", "temporary"))
        torch.addcmul(constant, p[chunk], slope, out=d_p)
        for row, offset in taps:
            add_shifted(d_p, d_q, row, -offset, chunk)
        d_u = d_p
        d_up_slope += weights.up_prelu.backward(d_p, kept.u[chunk], d_u, temporary)
        d_up.addmm_(d_u.t(), x[chunk])
        if needs_x:
            g[chunk].addmm_(d_u, weights.up)
    return (
        d_up,
        d_up_slope,
        d_p_norm.d_gamma,
        d_p_norm.d_beta,
        d_taps.t(),
        d_taps_slope,
        d_t_norm.d_gamma,
        d_t_norm.d_beta,
        d_down,
    )


def _rows(norm: NormGradient, weights: FoldedWeights) -> tuple[Tensor, Tensor]:
    """Slope and constant as rows, [H], which are faster than numbers."""
    slope, constant = (number.expand(weights.channels).contiguous() for number in (norm.slope, norm.constant))
    return slope, constant


def _outside(d_q: Tensor, offset: int) -> Tensor | float:
    """Sum of the frames of d q that a tap of this offset does not reach, [H]."""
    if offset == 0:
        return 0.0
    return (d_q[:-offset] if offset < 0 else d_q[max(0, len(d_q) - offset) :]).sum(dim=0)
