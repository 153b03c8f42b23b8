"""A temporal block near the speed of its matrix products, forward and backward; CPU first, GPU the same code.

The plain twin is `conv_tasnet.TemporalBlock`, and the numbers are the same up to rounding. What differs:

- **Frames first.** Features of one example are [K, channels], so that a 1x1 convolution is one plain matrix
  product (BLAS runs it at twice the rate of a convolution over [channels, K]), and what a norm or a tap has
  for every channel is a row that all frames share.
- **Folded norms.** gLN(p) = a p + c with a = gamma r, c = beta - a m, where m and r are the mean and
  1 / sqrt(var + eps) of all of p. `a` goes into the next weights and `c` into a constant; normalised features
  are never written. The second r is a number: out = x + r (t @ (gamma W)^T) + W c needs no second look at t.
- **Chunks.** A stretch of frames stays in the core's cache while everything that can be done to it is done.
  Only the norms' statistics part the work: two passes forward, three backward.
- **Little is kept.** A training step keeps x, u and q below; the rest is computed again.

    u = W_up x    p = prelu(u)    q[k] = sum_j taps_j gLN(p)[k + offset_j]    t = prelu(q)
    out = x + W_down gLN(t)

Backward, with g = d out: the sums over frames that a norm's gradient needs follow from sums that the
gradients of its neighbours' weights need anyway (`_norm_gradient`), so no pass is made for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

NORM_EPS = 1e-8  # inside the square root, as in conv_tasnet
CHUNK_FLOATS_A_THREAD = 1 << 18  # 1 MB, what a core's own cache holds


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


class Scratch:
    """Memory that blocks hand on to each other and to the next step: fresh memory costs page faults."""

    def __init__(self) -> None:
        self._shared: dict[str, Tensor] = {}
        self._free: dict[tuple[int, int], list[Tensor]] = {}

    def take(self, name: str, frames: int, channels: int, like: Tensor) -> Tensor:
        """Give [frames, channels] with undefined content; the same name gives the same memory again."""
        tensor = self._shared.get(name)
        if (
            tensor is None
            or len(tensor) < frames
            or tensor.shape[1] != channels
            or tensor.dtype != like.dtype
        ):
            tensor = self._shared[name] = like.new_empty(frames, channels)
        return tensor[:frames]

    def borrow(self, frames: int, channels: int, like: Tensor) -> Tensor:
        """Give [frames, channels] with undefined content that nobody else has until it is given back."""
        free = self._free.get((frames, channels))
        if free and free[-1].dtype == like.dtype:
            return free.pop()
        return like.new_empty(frames, channels)

    def give_back(self, *tensors: Tensor) -> None:
        """Lend these again; what was borrowed and is never given back is freed like any tensor."""
        for tensor in tensors:
            self._free.setdefault((tensor.shape[0], tensor.shape[1]), []).append(tensor)


def on_cpu(x: Tensor) -> bool:
    """Whether chunks fit a cache, and reading a number makes nobody wait."""
    return x.device.type == "cpu"


def chunks(x: Tensor, channels: int) -> Iterator[slice]:
    """Stretches of the frames of x [K, ...], `channels` of which fit the cache; a GPU takes all at once."""
    n_frames = len(x)
    fitting = CHUNK_FLOATS_A_THREAD // channels * torch.get_num_threads()
    size = max(1, fitting) if on_cpu(x) else n_frames
    for start in range(0, n_frames, size):
        yield slice(start, min(start + size, n_frames))


def block(x: Tensor, weights: BlockWeights, dilation: int, scratch: Scratch) -> Tensor:
    """Return what `TemporalBlock` makes of x, with gradient where one is asked for: [K, B] -> [K, B].

    Without gradient x is written over and returned.
    """
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        out: Tensor = _Block.apply(x, dilation, scratch, *weights)  # type: ignore[no-untyped-call]
        return out
    with torch.no_grad():
        folded = _Folded(weights, dilation)
        p = scratch.take("p", len(x), folded.channels, x)
        y = scratch.take("y", len(x), x.shape[1], x)
        result = _forward(x, p, None, y, folded, scratch)
        return x.addcmul_(y, result.t_norm.scale).add_(result.constant)


class _Norm(NamedTuple):
    """Statistics of a gLN, and the line a p + c that it comes down to."""

    mean: Tensor
    """m, a number."""
    scale: Tensor
    """r = 1 / sqrt(var + eps), a number."""
    a: Tensor
    """gamma r, [H]."""
    c: Tensor
    """beta - a m, [H]."""


class _Forward(NamedTuple):
    """What the forward pass leaves beside the tensors that it wrote."""

    p_norm: _Norm
    t_norm: _Norm
    constant: Tensor
    """W_down c of the second norm, [B]."""


class _Folded:
    """Weights as matrices and rows, and the offsets of the taps."""

    def __init__(self, weights: BlockWeights, dilation: int) -> None:
        self.up, self.down = weights.up.flatten(1), weights.down.flatten(1)  # [H, B], [B, H]
        self.up_slope, self.taps_slope = weights.up_slope, weights.taps_slope
        self.up_gamma, self.up_beta = weights.up_gamma.flatten(), weights.up_beta.flatten()
        self.taps_gamma, self.taps_beta = weights.taps_gamma.flatten(), weights.taps_beta.flatten()
        self.taps = weights.taps.squeeze(1).t().contiguous()  # [P, H]
        self.channels, n_taps = len(self.up), len(self.taps)
        self.centre = n_taps // 2
        self.offsets = [(tap - self.centre) * dilation for tap in range(n_taps)]


class _Statistics:
    """Mean and variance of all numbers of the chunks that are shown to it, in one pass."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._count = 0

    def add(self, x: Tensor) -> None:
        """See a chunk, contiguous."""
        flat = x.flatten()
        self._sums.append(flat.sum())
        self._squares.append(torch.dot(flat, flat))
        self._count += len(flat)

    def norm(self, gamma: Tensor, beta: Tensor) -> _Norm:
        """The gLN of everything seen; chunks are added up in float64, so that var = E[x^2] - m^2 holds."""
        mean = torch.stack(self._sums).double().sum() / self._count
        variance = torch.stack(self._squares).double().sum() / self._count - mean.square()
        scale = torch.rsqrt(variance.clamp_(min=0) + NORM_EPS).to(gamma.dtype)
        mean = mean.to(gamma.dtype)
        a = gamma * scale
        return _Norm(mean, scale, a, torch.addcmul(beta, a, mean, value=-1))


def _forward(
    x: Tensor, u: Tensor, q: Tensor | None, y: Tensor, weights: _Folded, scratch: Scratch
) -> _Forward:
    """Write u (or p in its place, without q) and q, [K, H], and y = t @ (gamma W_down)^T, [K, B]."""
    n_frames, keeps = len(x), q is not None
    up = weights.up.t()
    statistics = _Statistics()
    p = scratch.take("p", n_frames, weights.channels, x) if keeps else u
    for chunk in chunks(x, weights.channels):
        torch.mm(x[chunk], up, out=u[chunk])
        statistics.add(_prelu(u[chunk], weights.up_slope, p[chunk]))
    p_norm = statistics.norm(weights.up_gamma, weights.up_beta)

    taps, tap_constants = weights.taps * p_norm.a, weights.taps * p_norm.c  # [P, H]
    constant = tap_constants.sum(dim=0)
    down = (weights.down * weights.taps_gamma).t()
    statistics = _Statistics()
    for chunk in chunks(x, weights.channels):
        n = chunk.stop - chunk.start
        out = q[chunk] if q is not None else scratch.take("t", n, weights.channels, x)
        torch.addcmul(constant, p[chunk], taps[weights.centre], out=out)
        for tap, offset, tap_constant in zip(taps, weights.offsets, tap_constants, strict=True):
            if offset == 0:
                continue
            first, last = _add_shifted(out, p, tap, offset, chunk)
            out[:first] -= tap_constant  # where the tap hangs over the edge it meets a zero, not c
            out[last:] -= tap_constant
        t = _prelu(out, weights.taps_slope, scratch.take("t", n, weights.channels, x))
        statistics.add(t)
        torch.mm(t, down, out=y[chunk])
    t_norm = statistics.norm(weights.taps_gamma, weights.taps_beta)
    return _Forward(p_norm, t_norm, weights.down @ t_norm.c)


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


class _Block(torch.autograd.Function):
    """A block of a training step."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, dilation: int, scratch: Scratch, *tensors: Tensor) -> Tensor:
        weights = _Folded(BlockWeights(*tensors), dilation)
        u, q = (scratch.borrow(len(x), weights.channels, x) for _ in range(2))
        y = torch.empty_like(x)
        result = _forward(x, u, q, y, weights, scratch)
        ctx.save_for_backward(x, *tensors)
        ctx.inner = u, q  # type: ignore[attr-defined]
        ctx.norms = result.p_norm, result.t_norm  # type: ignore[attr-defined]
        ctx.dilation, ctx.scratch = dilation, scratch  # type: ignore[attr-defined]
        return torch.addcmul(x, y, result.t_norm.scale, out=y).add_(result.constant)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *tensors = ctx.saved_tensors
        u, q = ctx.inner
        weights = _Folded(BlockWeights(*tensors), ctx.dilation)
        needs = BlockWeights(*ctx.needs_input_grad[3:])
        x_gradient, gradients = _backward(
            grads[0].contiguous(),
            x,
            u,
            q,
            weights,
            ctx.norms,
            ctx.scratch,
            needs_x=ctx.needs_input_grad[0],
            needs_only_down=not any((ctx.needs_input_grad[0], *needs[:-1])),
        )
        ctx.inner = None  # a second backward pass would read what is not there any more, and fails here
        ctx.scratch.give_back(u, q)
        shaped = [
            gradient.reshape(tensor.shape) if gradient is not None and needed else None
            for gradient, tensor, needed in zip(gradients, tensors, needs, strict=True)
        ]
        return x_gradient, None, None, *shaped


def _backward(
    g: Tensor,
    x: Tensor,
    u: Tensor,
    q: Tensor,
    weights: _Folded,
    norms: tuple[_Norm, _Norm],
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
        t = _prelu(q[chunk], weights.taps_slope, scratch.take("t", n, channels, x))
        g_t.addmm_(g[chunk].t(), t)
        if not needs_only_down:
            _prelu(u[chunk], weights.up_slope, p[chunk])
    d_down = torch.addcmul(g_t * t_norm.a, g_sum.unsqueeze(1), t_norm.c)  # [B, H]
    if needs_only_down:
        return None, [*[None] * 8, d_down]
    d_t_norm = _norm_gradient(
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
        t = _prelu(q[chunk], weights.taps_slope, scratch.take("t", n, channels, x))
        d_t = t.mul_(d_t_norm.slope).add_(d_t_norm.constant).addmm_(g[chunk], down)
        d_taps_slope += _prelu_backward(
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
    d_p_norm = _norm_gradient(
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
            _add_shifted(d_p, d_q, tap, -offset, chunk)
        d_u = scratch.take("d_u", n, channels, x)
        d_up_slope += _prelu_backward(
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


class _NormGradient(NamedTuple):
    """Gradients of a gLN; d p = a d n + slope p + constant, where d n is the gradient of its output."""

    d_gamma: Tensor
    d_beta: Tensor
    slope: Tensor
    """A number."""
    constant: Tensor
    """A number."""


def _norm_gradient(d_sum: Tensor, d_p_sum: Tensor, norm: _Norm, gamma: Tensor, frames: int) -> _NormGradient:
    """From sum_k d n[k] and sum_k d n[k] p[k], both [H].

    d p = r (gamma d n - mean(gamma d n) - p^ mean(gamma d n p^)), with p^ = r (p - m).
    """
    d_gamma = norm.scale * (d_p_sum - norm.mean * d_sum)
    count = frames * len(gamma)
    mean = torch.dot(gamma, d_sum) / count
    mean_p = torch.dot(gamma, d_gamma) / count
    slope = -norm.scale.square() * mean_p
    return _NormGradient(d_gamma, d_sum, slope, -norm.scale * mean - slope * norm.mean)


def _outside(d_q: Tensor, offset: int) -> Tensor | float:
    """The sum of the frames of d q that a tap of this offset does not reach, [H]."""
    if offset == 0:
        return 0.0
    return (d_q[:-offset] if offset < 0 else d_q[max(0, len(d_q) - offset) :]).sum(dim=0)


def _prelu(x: Tensor, slope: Tensor, out: Tensor) -> Tensor:
    """Write max(x, 0) + slope min(x, 0)."""
    if on_cpu(x):  # reading the slope costs nothing there
        torch.ops.aten.leaky_relu.out(x, float(slope), out=out)
        return out
    return out.copy_(torch.prelu(x, slope))


def _prelu_backward(d_y: Tensor, x: Tensor, slope: Tensor, d_x: Tensor, temporary: Tensor) -> Tensor:
    """Write d x of y = prelu(x), and return d slope, a number."""
    d_slope = torch.dot(torch.clamp(x, max=0, out=temporary).flatten(), d_y.flatten())
    if on_cpu(x):
        torch.ops.aten.leaky_relu_backward.grad_input(d_y, x, float(slope), False, grad_input=d_x)
    else:
        torch.where(x > 0, d_y, d_y * slope, out=d_x)
    return d_slope
