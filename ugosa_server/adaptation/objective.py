"""Eq. 2 of Cantisani et al., "User-guided one-shot deep model adaptation" (2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the front process reports LossTerms and loads no torch
    from torch import Tensor


@dataclass(frozen=True)
class LossTerms:
    """Terms of Eq. 2, averaged over the steps since the epoch began."""

    total: float
    """reconstruction + lambda * silence."""
    reconstruction: float
    """First term: distance of the active sources' sum to the mix."""
    silence: float
    """Second term, without lambda: level of the estimates where their sources are marked silent."""


def silence_aware_objective(
    estimates: Tensor, mix: Tensor, activity: Tensor, silence_weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return Eq. 2: the active sources add up to the mix, and marked silence stays silent.

    L = (1/N) sum_n [ | sum_i h[i,n] s_hat[i,n] - y[n] | + lambda sum_i | (1 - h[i,n]) s_hat[i,n] | ]

    averaged over audio channels and over the batch. The second sum runs over the sources, as the paper
    writes it; the authors' code takes the mean there, so its weight of 1 is lambda = 1/S here.

    Args:
        estimates: s_hat, [B, S, C, T].
        mix: y, [B, C, T].
        activity: h, [B, S, T]; 1 = may be active, 0 = marked silent.
        silence_weight: lambda.

    Returns:
        The total, the reconstruction term and the silence term, as in `LossTerms`: scalars with gradient.
    """
    h = activity.unsqueeze(2)  # [B, S, 1, T]
    reconstruction = ((h * estimates).sum(dim=1) - mix).abs().mean()
    silence = ((1 - h) * estimates).abs().sum(dim=1).mean()
    return reconstruction + silence_weight * silence, reconstruction, silence
