"""The three passes of a block backward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ugosa_server.models.fast_block.forward import add_shifted
from ugosa_server.models.fast_block.norm import Norm, norm_gradient
from ugosa_server.models.fast_block.prelu import prelu, prelu_backward
from ugosa_server.models.fast_block.scratch import Scratch, chunks
from ugosa_server.models.fast_block.weights import FoldedWeights


def block_backward(
    g: Tensor,
    x: Tensor,
    u: Tensor,
    q: Tensor,
    weights: FoldedWeights,
    norms: tuple[Norm, Norm],
    scratch: Scratch,
    *,
    needs_x: bool,
    needs_only_down: bool,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """Gradients of x, if needed, and of the weights in their order, from g = d out, [K, B]."""
    n_frames, channels = u.shape
    p_norm, t_norm = norms
    p = scratch.take("p", n_frames, channels, x)

    # d W_down, and through it the sums over frames that the second norm needs.
    g_t = torch.zeros_like(weights.down)  # sum_k g[k] t[k]^T, [B, H]
    g_sum = g.sum(dim=0)  # [B]
    for chunk in chunks(x, channels):
        n = chunk.stop - chunk.start
        t = prelu(q[chunk], weights.taps_slope, scratch.take("t", n, channels, x))
        g_t.addmm_(g[chunk].t(), t)
        if not needs_only_down:
            prelu(u[chunk], weights.up_slope, p[chunk])
    d_down = torch.addcmul(g_t * t_norm.a, g_sum.unsqueeze(1), t_norm.c)  # [B, H]
    if needs_only_down:
        return None, [*[None] * 8, d_down]
    d_t_norm = norm_gradient(
        g_sum @ weights.down, (weights.down * g_t).sum(dim=0), t_norm, weights.taps_gamma, n_frames
    )

    # d q, [K, H], and what the taps and the first norm need: sums of d q and of d q[k] p[k + offset].
    d_q = scratch.take("d_q", n_frames, channels, x)
    down = weights.down * t_norm.a
    d_q_p = torch.zeros_like(weights.taps)  # [P, H]
    d_q_sum = torch.zeros_like(weights.up_gamma)
    d_taps_slope = torch.zeros_like(weights.taps_slope)
    for chunk in chunks(x, channels):
        n = chunk.stop - chunk.start
        t = prelu(q[chunk], weights.taps_slope, scratch.take("t", n, channels, x))
        d_t = t.mul_(d_t_norm.slope).add_(d_t_norm.constant).addmm_(g[chunk], down)
        d_taps_slope += prelu_backward(
            d_t, q[chunk], weights.taps_slope, d_q[chunk], scratch.take("negative", n, channels, x)
        )
        d_q_sum += d_q[chunk].sum(dim=0)
        for tap, offset in enumerate(weights.offsets):
            start = min(max(chunk.start, -offset), chunk.stop)
            stop = max(min(chunk.stop, n_frames - offset), start)
            product = scratch.take("t", stop - start, channels, x)
            torch.mul(d_q[start:stop], p[start + offset : stop + offset], out=product)
            d_q_p[tap] += product.sum(dim=0)
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
    taps = weights.taps * p_norm.a
    d_up = torch.zeros_like(weights.up)
    d_up_slope = torch.zeros_like(weights.up_slope)
    d_x = torch.empty_like(g) if needs_x else None
    for chunk in chunks(x, channels):
        n = chunk.stop - chunk.start
        d_p = torch.mul(p[chunk], d_p_norm.slope, out=scratch.take("t", n, channels, x)).add_(
            d_p_norm.constant
        )
        for tap, offset in zip(taps, weights.offsets, strict=True):
            add_shifted(d_p, d_q, tap, -offset, chunk)
        d_u = scratch.take("d_u", n, channels, x)
        d_up_slope += prelu_backward(
            d_p, u[chunk], weights.up_slope, d_u, scratch.take("negative", n, channels, x)
        )
        d_up.addmm_(d_u.t(), x[chunk])
        if d_x is not None:
            torch.addmm(g[chunk], d_u, weights.up, out=d_x[chunk])
    return d_x, (
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


def _outside(d_q: Tensor, offset: int) -> Tensor | float:
    """The sum of the frames of d q that a tap of this offset does not reach, [H]."""
    if offset == 0:
        return 0.0
    return (d_q[:-offset] if offset < 0 else d_q[max(0, len(d_q) - offset) :]).sum(dim=0)
