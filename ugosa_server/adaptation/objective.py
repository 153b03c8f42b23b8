"""The objective: Eq. 2 of Cantisani et al., "User-guided one-shot deep model adaptation" (2021)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ObjectiveTerms(NamedTuple):
    """The terms of Eq. 2, scalars with gradient."""

    total: Tensor
    """reconstruction + lambda * silence."""
    reconstruction: Tensor
    """First term: distance of the active sources' sum to the mix."""
    silence: Tensor
    """Second term, without lambda: what is heard of sources where they are marked silent."""


def silence_aware_objective(
    estimates: Tensor, mix: Tensor, activity: Tensor, silence_weight: float
) -> ObjectiveTerms:
    """Eq. 2: the active sources add up to the mix, and marked silence stays silent.

    L = (1/N) sum_n [ | sum_i h[i,n] s_hat[i,n] - y[n] | + lambda sum_i | (1 - h[i,n]) s_hat[i,n] | ]

    averaged over audio channels and over the batch. The second sum runs over the sources, as the paper
    writes it; the authors' code takes the mean there, so its weight of 1 is lambda = 1/S here.

    Args:
        estimates: s_hat, [B, S, C, T].
        mix: y, [B, C, T].
        activity: h, [B, S, T]; 1 = may be active, 0 = marked silent.
        silence_weight: lambda.
    """
    h = activity.unsqueeze(2)  # [B, S, 1, T]
    reconstruction = ((h * estimates).sum(dim=1) - mix).abs().mean()
    silence = ((1 - h) * estimates).abs().sum(dim=1).mean()
    return ObjectiveTerms(reconstruction + silence_weight * silence, reconstruction, silence)
