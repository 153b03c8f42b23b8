"""Target masks of the Conditioned U-Net against plain NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ugosa_research.cunet.targets import target_masks
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import MAGNITUDE_FLOOR, magnitudes, spectrum

LOG = ConditionedUNetConfig()


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_target_masks_are_equations_2_and_3(random):
    source = random.random((1, 2, 256, 8))
    mix = source.sum(axis=1) * random.uniform(0.8, 1.1, (1, 256, 8))
    floored = [torch.from_numpy(x) + MAGNITUDE_FLOOR for x in (source, mix)]
    binary = target_masks(*floored, replace(LOG, mask="binary")).numpy()
    left = floored[1].numpy()[:, None] - source
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(binary, (left <= 0) | (source / left >= 1))
    ratio = target_masks(*floored, LOG).numpy()
    np.testing.assert_allclose(ratio, np.minimum(source / floored[1].numpy()[:, None], 1), atol=1e-12)


@pytest.mark.parametrize("mask", ["ratio", "binary"])
def test_a_silent_source_has_a_mask_of_nothing(mask):
    config = replace(LOG, mask=mask)
    silent, sounding = (magnitudes(spectrum(x), config) for x in (torch.zeros(1, 9000), torch.randn(1, 9000)))
    sources = torch.stack([silent, sounding], dim=1)  # [1, K, F, T']
    found = target_masks(sources, sounding, config)
    assert found[:, 0].max() < 1e-3
    assert found[:, 1].mean() > 0.99
    assert (target_masks(sources, silent, config)[:, 0] < 1e-3).all()
