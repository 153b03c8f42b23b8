"""Temporal blocks near the speed of their matrix products, forward and backward.

The plain twin is `network.TemporalBlock`, and the numbers are the same up to rounding. Written for a CPU; a
GPU runs the same code. Differences:

- **Frames first.** Features of one example are [K, channels], so that a 1x1 convolution is one plain matrix
  product (BLAS runs it at twice the rate of a convolution over [channels, K]), and the numbers that a norm or
  a tap has for every channel are a row that all frames share.
- **Folded norms.** gLN(p) = a p + c with a = gamma r, c = beta - a m, where m and r are the mean and
  1 / sqrt(var + eps) of all of p. `a` goes into the next weights and `c` into a constant; normalised features
  are never written. The second r is a number: out = x + r (t @ (gamma W)^T) + W c needs no second look at t.
- **Chunks.** A stretch of frames stays in the core's cache until all work on it is done. Only the norms'
  statistics divide the work: two passes forward, three backward.
- **Little is kept** for the gradient, three tensors a block: x, p and t below, which determine u and q where
  slopes are positive, as they nearly always are; otherwise x, u and q, from which p and t are computed again.
- **Memory is reused** (`Scratch`): fresh memory costs page faults. So all blocks of a training step are one
  function of autograd, and tensors that are not needed any more are written over.

    u = W_up x    p = prelu(u)    q[k] = sum_j taps_j gLN(p)[k + offset_j]    t = prelu(q)
    out = x + W_down gLN(t)

Backward, with g = d out: the sums over frames that a norm's gradient needs follow from sums that the
gradients of its neighbours' weights need anyway (`norm_gradient`), so no pass is made for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ugosa_server.models.conv_tasnet.fast_layers import (
    BlockWeights,
    FoldedWeights,
    Norm,
    NormGradient,
    Scratch,
    Statistics,
    chunks,
    norm_gradient,
)

_T = TypeVar("_T")


def run_blocks(x: Tensor, temporal_blocks: Sequence[nn.Module], scratch: Scratch) -> Tensor:
    """Run `network.TemporalBlock`s one after the other: [K, B] -> [K, B]."""
    weights = [BlockWeights(*block.parameters()) for block in temporal_blocks]
    dilations = [block.net[3].net[0].dilation[0] for block in temporal_blocks]  # type: ignore[index, union-attr]
    trained = [x.requires_grad, *(any(tensor.requires_grad for tensor in block) for block in weights)]
    first = max(trained.index(True) - 1, 0) if torch.is_grad_enabled() and any(trained) else len(weights)
    if first > 0:
        x = x.clone()
        with torch.no_grad():
            for frozen, dilation in zip(weights[:first], dilations[:first], strict=True):
                _forward_in_place(x, FoldedWeights(frozen, dilation), scratch)
    if first == len(weights):
        return x
    tensors = [tensor for block in weights[first:] for tensor in block]
    out: Tensor = _Blocks.apply(x, dilations[first:], scratch, *tensors)  # type: ignore[no-untyped-call]
    return out


class _Blocks(torch.autograd.Function):
    """The blocks of a training step, in one piece, so that features between blocks can be borrowed."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, dilations: list[int], scratch: Scratch, *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.kept, ctx.scratch, ctx.dilations = [], scratch, dilations  # type: ignore[attr-defined]
        for number, weights in enumerate(_folded(tensors, dilations), start=1):
            is_last = number == len(dilations)
            out = torch.empty_like(x) if is_last else scratch.borrow(len(x), x.shape[1], x)
            ctx.kept.append(_forward_kept(x, out, weights, scratch))  # type: ignore[attr-defined]
            x = out
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scratch: Scratch = ctx.scratch
        needs_input = ctx.needs_input_grad[0]
        needs = _by_block(ctx.needs_input_grad[3:])
        g = scratch.take("g", len(grads[0]), grads[0].shape[1], grads[0]).copy_(grads[0])
        gradients: list[Tensor | None] = []
        folded = _folded(ctx.saved_tensors, ctx.dilations)
        for number, (weights, needed) in reversed([*enumerate(zip(folded, needs, strict=True))]):
            needs_x = number > 0 or needs_input
            kept = ctx.kept.pop()  # so that a second backward pass, which would read other numbers, fails
            of_block = _block_backward(
                g, kept, weights, scratch, needs_x=needs_x, needs_only_down=not (needs_x or any(needed[:-1]))
            )
            gradients = [*of_block, *gradients]
            scratch.give_back(kept.u, kept.q)
            if number > 0:  # the first x is not ours
                scratch.give_back(kept.x)
        shaped = [
            gradient.reshape(tensor.shape) if gradient is not None and is_needed else None
            for gradient, tensor, is_needed in zip(
                gradients, ctx.saved_tensors, ctx.needs_input_grad[3:], strict=True
            )
        ]
        return g.clone() if needs_input else None, None, None, *shaped


def _folded(tensors: Sequence[Tensor], dilations: Sequence[int]) -> list[FoldedWeights]:
    return [
        FoldedWeights(BlockWeights(*of_block), dilation)
        for of_block, dilation in zip(_by_block(tensors), dilations, strict=True)
    ]


def _by_block(values: Sequence[_T]) -> list[Sequence[_T]]:
    """Group values that belong to parameters by block."""
    size = len(BlockWeights._fields)
    return [values[start : start + size] for start in range(0, len(values), size)]


class _Kept(NamedTuple):
    """Input of the backward pass of a block, which writes over `q`."""

    x: Tensor
    """[K, B]."""
    u: Tensor
    """[K, H]; p where p tells u (`Prelu.keeps_output`)."""
    q: Tensor
    """[K, H]; t where t tells q."""
    p_norm: Norm
    t_norm: Norm


def _forward_kept(x: Tensor, out: Tensor, weights: FoldedWeights, scratch: Scratch) -> _Kept:
    """Run the block from x to `out`, [K, B]; return what its gradient needs, borrowed."""
    u, q = (scratch.borrow(len(x), weights.channels, x) for _ in range(2))
    p = u if weights.up_prelu.keeps_output else scratch.take("p", len(x), weights.channels, x)
    p_norm = _to_p(x, u, p, weights)
    t_norm = _to_y(p, p_norm, q, out, weights, scratch)
    _add_residual(x, out, t_norm, weights, out)
    return _Kept(x, u, q, p_norm, t_norm)


def _forward_in_place(x: Tensor, weights: FoldedWeights, scratch: Scratch) -> None:
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
            first, last = _add_shifted(out, p, tap, offset, chunk)
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


def _add_shifted(out: Tensor, source: Tensor, row: Tensor, offset: int, chunk: slice) -> tuple[int, int]:
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


def _block_backward(
    g: Tensor, kept: _Kept, weights: FoldedWeights, scratch: Scratch, *, needs_x: bool, needs_only_down: bool
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
            _add_shifted(d_p, d_q, row, -offset, chunk)
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
