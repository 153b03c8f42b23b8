"""A global layer norm (gLN) as the line a p + c that it comes down to, and its gradient from sums."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NORM_EPS = 1e-8  # inside the square root, as in conv_tasnet


class Norm(NamedTuple):
    """Statistics of a gLN, and the line a p + c that it comes down to."""

    mean: Tensor
    """m, a number."""
    scale: Tensor
    """r = 1 / sqrt(var + eps), a number."""
    a: Tensor
    """gamma r, [H]."""
    c: Tensor
    """beta - a m, [H]."""


class Statistics:
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

    def norm(self, gamma: Tensor, beta: Tensor) -> Norm:
        """The gLN of everything seen; chunks are added up in float64, so that var = E[x^2] - m^2 holds."""
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
    """From sum_k d n[k] and sum_k d n[k] p[k], both [H].

    d p = r (gamma d n - mean(gamma d n) - p^ mean(gamma d n p^)), with p^ = r (p - m).
    """
    d_gamma = norm.scale * (d_p_sum - norm.mean * d_sum)
    count = frames * len(gamma)
    mean = torch.dot(gamma, d_sum) / count
    mean_p = torch.dot(gamma, d_gamma) / count
    slope = -norm.scale.square() * mean_p
    return NormGradient(d_gamma, d_sum, slope, -norm.scale * mean - slope * norm.mean)
