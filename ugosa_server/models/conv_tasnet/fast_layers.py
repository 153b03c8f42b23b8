"""The parts that both directions of a block are made of.

- `Scratch` and `chunks`: working memory, and the stretches of frames that fit the cache;
- `Norm`: a global layer norm (gLN) as the line a p + c, from sums over chunks, and its gradient from sums;
- `Prelu`: PReLU with one slope, into memory that is there;
- `BlockWeights` and `FoldedWeights`: parameters in the shapes of checkpoints, and those of matrix products.

Shapes: frames K, taps P; channels B between blocks and H inside of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ugosa_server.models.conv_tasnet.config import NORM_EPS

CHUNK_FLOATS_A_THREAD = 1 << 18  # 1 MB, what a core's own cache holds
SMALLEST_TELLING_SLOPE = 1e-3  # below it, min(y, 0) / slope would lose digits


class Scratch:
    """Working memory of blocks, reused by the next block and step: fresh memory costs page faults."""

    def __init__(self) -> None:
        self._shared: dict[str, Tensor] = {}
        self._free: dict[tuple[int, int], list[Tensor]] = {}

    def take(self, name: str, frames: int, channels: int, like: Tensor) -> Tensor:
        """Return [frames, channels] of undefined content; the same name gives the same memory again."""
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
        """Return [frames, channels] of undefined content that nobody else gets until it is given back."""
        free = self._free.get((frames, channels))
        if free and free[-1].dtype == like.dtype:
            return free.pop()
        return like.new_empty(frames, channels)

    def give_back(self, *tensors: Tensor) -> None:
        """Take borrowed tensors back; one that never is given back is freed like any tensor."""
        for tensor in tensors:
            self._free.setdefault((tensor.shape[0], tensor.shape[1]), []).append(tensor)


def on_cpu(x: Tensor) -> bool:
    """Return whether a core computes: chunks fit its cache, and reading a number costs no wait."""
    return x.device.type == "cpu"


def chunks(x: Tensor, channels: int) -> Iterator[slice]:
    """Yield stretches of the frames of x [K, ...], of a size to fit the cache; on a GPU all at once."""
    n_frames = len(x)
    fitting = CHUNK_FLOATS_A_THREAD // channels * torch.get_num_threads()
    size = max(1, fitting) if on_cpu(x) else n_frames
    for start in range(0, n_frames, size):
        yield slice(start, min(start + size, n_frames))


class Norm(NamedTuple):
    """Statistics of a gLN, and the line a p + c that it is."""

    mean: Tensor
    """m, a number."""
    scale: Tensor
    """r = 1 / sqrt(var + eps), a number."""
    a: Tensor
    """gamma r, [H]."""
    c: Tensor
    """beta - a m, [H]."""


class Statistics:
    """Mean and variance of all numbers of some chunks, in one pass."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._count = 0

    def add(self, x: Tensor) -> None:
        """Count a chunk in, contiguous."""
        flat = x.flatten()
        self._sums.append(flat.sum())
        self._squares.append(torch.dot(flat, flat))
        self._count += len(flat)

    def norm(self, gamma: Tensor, beta: Tensor) -> Norm:
        """Return the gLN of all chunks; they are summed in float64, so that var = E[x^2] - m^2 holds."""
        mean = torch.stack(self._sums).double().sum() / self._count
        variance = torch.stack(self._squares).double().sum() / self._count - mean.square()
        scale = torch.rsqrt(variance.clamp_(min=0) + NORM_EPS).to(gamma.dtype)
        mean = mean.to(gamma.dtype)
        a = gamma * scale
        return Norm(mean, scale, a, torch.addcmul(beta, a, mean, value=-1))


class NormGradient(NamedTuple):
    """Gradients of a gLN; d p = a d n + slope p + constant, where d n is the gradient of its output."""

    d_gamma: Tensor
    d_beta: Tensor
    slope: Tensor
    """A number."""
    constant: Tensor
    """A number."""


def norm_gradient(d_sum: Tensor, d_p_sum: Tensor, norm: Norm, gamma: Tensor, frames: int) -> NormGradient:
    """Return the gradient from sum_k d n[k] and sum_k d n[k] p[k], both [H].

    d p = r (gamma d n - mean(gamma d n) - p^ mean(gamma d n p^)), with p^ = r (p - m).
    """
    d_gamma = norm.scale * (d_p_sum - norm.mean * d_sum)
    count = frames * len(gamma)
    mean = torch.dot(gamma, d_sum) / count
    mean_p = torch.dot(gamma, d_gamma) / count
    slope = -norm.scale.square() * mean_p
    return NormGradient(d_gamma, d_sum, slope, -norm.scale * mean - slope * norm.mean)


class Prelu:
    """y = max(x, 0) + slope min(x, 0).

    With a positive slope y has the sign of x, so that the gradient follows from y as well. Then a training
    step keeps y, and x is never written.
    """

    def __init__(self, slope: Tensor) -> None:
        self._slope = slope
        self._number = float(slope) if on_cpu(slope) else None  # reading it from a GPU makes us wait
        self.keeps_output = self._number is not None and self._number > SMALLEST_TELLING_SLOPE
        """Whether `output` and `backward` take y; else x."""

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """Write y; `out` may be x."""
        if self._number is None:
            return out.copy_(torch.prelu(x, self._slope))
        torch.ops.aten.leaky_relu.out(x, self._number, out=out)
        return out

    def output(self, kept: Tensor, name: str, scratch: Scratch) -> Tensor:
        """Return y: `kept` itself, or scratch memory of this name with y written to it."""
        if self.keeps_output:
            return kept
        return self.forward(kept, scratch.take(name, len(kept), kept.shape[1], kept))

    def backward(self, d_y: Tensor, kept: Tensor, d_x: Tensor, temporary: Tensor) -> Tensor:
        """Write d x, and return d slope, [1]; d_x may be d_y or `kept`."""
        d_slope = torch.dot(torch.clamp(kept, max=0, out=temporary).flatten(), d_y.flatten())
        if self.keeps_output:
            d_slope = d_slope / self._slope
        if self._number is None:
            torch.where(kept > 0, d_y, d_y * self._slope, out=d_x)
        else:
            torch.ops.aten.leaky_relu_backward.grad_input(d_y, kept, self._number, False, grad_input=d_x)
        return d_slope


class BlockWeights(NamedTuple):
    """The parameters of a `TemporalBlock` in its own order, in the shapes of the published checkpoints."""

    up: Tensor  # [H, B, 1]
    up_slope: Tensor  # [1]
    up_gamma: Tensor  # [1, H, 1]
    up_beta: Tensor  # [1, H, 1]
    taps: Tensor  # [H, 1, P]
    taps_slope: Tensor  # [1]
    taps_gamma: Tensor  # [1, H, 1]
    taps_beta: Tensor  # [1, H, 1]
    down: Tensor  # [B, H, 1]


class FoldedWeights:
    """The same parameters as matrices and rows, and the offsets of the taps in frames."""

    def __init__(self, weights: BlockWeights, dilation: int) -> None:
        self.up, self.down = weights.up.flatten(1), weights.down.flatten(1)  # [H, B], [B, H]
        self.up_prelu, self.taps_prelu = Prelu(weights.up_slope), Prelu(weights.taps_slope)
        self.up_gamma, self.up_beta = weights.up_gamma.flatten(), weights.up_beta.flatten()
        self.taps_gamma, self.taps_beta = weights.taps_gamma.flatten(), weights.taps_beta.flatten()
        self.taps = weights.taps.squeeze(1).t().contiguous()  # [P, H]
        self.channels, n_taps = len(self.up), len(self.taps)
        self.centre = n_taps // 2
        self.offsets = [(tap - self.centre) * dilation for tap in range(n_taps)]
