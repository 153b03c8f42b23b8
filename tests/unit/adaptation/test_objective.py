"""Eq. 2 as the paper writes it, against plain NumPy."""

import numpy as np
import pytest
import torch

from ugosa_server.adaptation.objective import silence_aware_objective


def eq2(estimates, mix, h, weight):
    """Eq. 2 sample by sample: [S, C, T], [C, T], [S, T]."""
    n_sources, n_channels, n_samples = estimates.shape
    reconstruction = silence = 0.0
    for c in range(n_channels):
        for n in range(n_samples):
            reconstruction += abs(sum(h[i, n] * estimates[i, c, n] for i in range(n_sources)) - mix[c, n])
            silence += sum(abs((1 - h[i, n]) * estimates[i, c, n]) for i in range(n_sources))
    scale = 1 / (n_samples * n_channels)
    return scale * (reconstruction + weight * silence), scale * reconstruction, scale * silence


@pytest.mark.parametrize("weight", [0.0, 1.0, 37.5])
def test_terms_are_those_of_eq_2(weight):
    rng = np.random.default_rng(0)
    estimates, mix = rng.normal(size=(3, 4, 2, 17)), rng.normal(size=(3, 2, 17))
    h = rng.integers(0, 2, size=(3, 4, 17)).astype(float)
    h[0] = rng.uniform(size=(4, 17))
    expected = np.mean([eq2(*example, weight) for example in zip(estimates, mix, h, strict=True)], axis=0)
    terms = silence_aware_objective(*map(torch.from_numpy, (estimates, mix, h)), weight)
    np.testing.assert_allclose([term.item() for term in terms], expected, rtol=1e-12)


def test_without_marks_only_the_sum_counts():
    estimates, mix = torch.randn(1, 4, 2, 50), torch.randn(1, 2, 50)
    total, _, silence = silence_aware_objective(estimates, mix, torch.ones(1, 4, 50), 1e6)
    assert silence == 0
    torch.testing.assert_close(total, (estimates.sum(1) - mix).abs().mean())
