"""The front end against plain NumPy: grid, warping, values, masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.tiny_cunet import bins_of
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import (
    MAGNITUDE_FLOOR,
    magnitudes,
    masks_of_logits,
    spectrum,
    unwarp,
    values,
    warp,
    waveform,
)

LOG = ConditionedUNetConfig()
LINEAR = replace(LOG, frequency_scale="linear")


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_a_window_of_the_paper_makes_512_bins_by_256_frames():
    assert spectrum(torch.randn(2, 65535)).shape == (2, 512, 256)


def test_frames_are_centred_on_multiples_of_the_hop(random):
    audio = random.standard_normal(3000).astype(np.float32)
    padded = np.pad(audio, 511)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1022) / 1022)
    frames = [np.fft.rfft(hann * padded[t * 256 : t * 256 + 1022]) for t in range(3000 // 256 + 1)]
    found = spectrum(torch.from_numpy(audio)).numpy()
    np.testing.assert_allclose(found, np.stack(frames, axis=-1), atol=1e-4)


@pytest.mark.parametrize("n_samples", [1, 300, 65535, 70001])
def test_the_waveform_comes_back(n_samples):
    audio = torch.randn(2, 3, n_samples)
    torch.testing.assert_close(waveform(spectrum(audio), n_samples), audio, atol=2e-5, rtol=0)


def interpolated(bins, grid):
    """Read columns [F, T'] at positions of [-1, 1]."""
    axis = np.linspace(-1, 1, len(bins))
    return np.stack([np.interp(grid, axis, column) for column in bins.T], axis=-1)


def test_warping_reads_where_the_formula_says(random):
    bins = random.random((512, 5))
    y = np.linspace(-1, 1, 256)
    expected = interpolated(bins, (21 ** ((y + 1) / 2) - 11) / 10)
    np.testing.assert_allclose(warp(torch.from_numpy(bins)).numpy(), expected, atol=1e-12)


def test_unwarping_reads_where_the_formula_says(random):
    bins = random.random((256, 5))
    y = np.linspace(-1, 1, 512)
    expected = interpolated(bins, np.log(10 * y + 11) / np.log(21) * 2 - 1)
    np.testing.assert_allclose(unwarp(torch.from_numpy(bins)).numpy(), expected, atol=1e-12)


def test_unwarping_undoes_warping_of_what_changes_slowly():
    f = torch.linspace(0, 1, 512, dtype=torch.float64)
    smooth = torch.stack([torch.cos(6 * f), 1 - f, torch.ones_like(f)], dim=-1)
    assert (unwarp(warp(smooth)) - smooth).abs().max() < 2e-3
    assert torch.equal(unwarp(warp(torch.zeros(1, 512, 3))), torch.zeros(1, 512, 3))


def test_values_in_db_span_every_window():
    magnitude = torch.rand(3, 256, 64) * torch.tensor([1e-3, 1.0, 300.0])[:, None, None]
    found = values(magnitude, LOG).numpy()
    level = np.log1p(65536 * magnitude.numpy().astype(np.float64)) / np.log1p(65536)
    for window, expected in zip(found, level, strict=True):
        scaled = 2 * (expected - expected.min()) / (expected.max() - expected.min()) - 1
        np.testing.assert_allclose(window[0], scaled, atol=1e-4)


def test_values_of_silence_are_finite():
    silence = magnitudes(spectrum(torch.zeros(1, 65535)), LOG)
    assert values(silence, LOG).max() < -0.999
    np.testing.assert_allclose(values(silence, replace(LOG, value_scale="log")), np.log(1e-4), rtol=1e-5)


def test_magnitudes_have_the_floor_and_the_axis():
    frames = spectrum(torch.randn(1, 5000))
    assert torch.equal(magnitudes(frames, LINEAR), frames.abs() + MAGNITUDE_FLOOR)
    assert torch.equal(magnitudes(frames, LOG), warp(frames.abs() + MAGNITUDE_FLOOR))


@pytest.mark.parametrize("config", [LOG, LINEAR], ids=["log", "linear"])
def test_masks_lie_between_0_and_1_on_the_linear_axis(config):
    logits = 5 * torch.randn(2, 3, bins_of(config), 8)
    soft, hard, shared = (masks_of_logits(logits, config, kind=kind) for kind in ("soft", "hard", "shared"))
    for found in (soft, hard, shared):
        assert found.shape == (2, 3, 512, 8)
        assert 0 <= found.min() <= found.max() <= 1
    assert shared.sum(dim=1).max() <= 1
    if config is LINEAR:
        assert torch.equal(hard, (torch.sigmoid(logits) > 0.5).float())


def test_shared_masks_share_a_bin_by_squares_of_soft_masks():
    soft = np.array([[0.8, 0.4, 0.0], [0.6, 0.6, 0.6], [0.02, 0.01, 0.0]], np.float64)
    logits = torch.from_numpy(np.log(soft.clip(1e-12) / (1 - soft))).reshape(3, 3, 1, 1)
    found = masks_of_logits(logits, LINEAR, kind="shared").numpy().reshape(3, 3)
    assert np.allclose(found, soft**2 / ((soft**2).sum(axis=1, keepdims=True) + 0.01))
    assert found[0].tolist() == pytest.approx([0.79, 0.198, 0.0], abs=2e-3)  # rather like the first
    assert found[2].sum() < 0.06


def test_gradients_pass_after_a_use_without_them():
    with torch.inference_mode():
        warp(torch.rand(512, 2))
    bins = torch.rand(512, 2, requires_grad=True)
    warp(bins).sum().backward()
    assert bins.grad is not None
