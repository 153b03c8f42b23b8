"""A calibration changes the masks where it says so, at any level, and travels in an adapter."""

import numpy as np
import pytest
import torch

from ugosa_server.errors import CheckpointError
from ugosa_server.marks import MarkSet, SilenceGains
from ugosa_server.separation.calibration import BANDS, MaskCalibration, band_weights
from ugosa_server.separation.wiener import ratios_of, wiener_filtered

RATE_HZ = 16_000
SOURCES = ("low", "high")


def tone(hz, n_samples=2 * RATE_HZ):
    return np.sin(2 * np.pi * hz * np.arange(n_samples) / RATE_HZ)


def filtered(estimates, mix, calibration=None, exponent=1.0):
    gains = SilenceGains(MarkSet(), SOURCES, len(mix), RATE_HZ)
    blocks = wiener_filtered(iter([estimates]), mix, gains, exponent, calibration=calibration)
    return np.concatenate(list(blocks), axis=-1)


def leaky_song(scale=0.1):
    """Estimates [S, C, T] of two tones, each with half of the other's, and the mix [T, C]."""
    low, high = (scale * np.stack([tone(hz)] * 2) for hz in (300, 5000))
    estimates = np.stack([low + 0.5 * high, high + 0.5 * low]).astype(np.float32)
    return estimates, (low + high).T.astype(np.float32)


def neutral():
    """A calibration that changes nothing."""
    n = len(SOURCES)
    return MaskCalibration(torch.zeros(n, BANDS), torch.zeros(n, n, BANDS))


def offset(source, hz, nepers):
    """A calibration that makes one source louder around a frequency."""
    calibration = neutral()
    weights = band_weights(RATE_HZ, RATE_HZ // 2 + 1)[:, hz]
    calibration.offsets[source] = nepers * (weights > 0)
    return calibration


def power(audio, hz):
    """Amplitude of a tone in the middle of some audio [C, T]."""
    middle = slice(RATE_HZ // 2, 3 * RATE_HZ // 2)
    return abs(
        np.mean(audio[0, middle] * np.exp(-2j * np.pi * hz * np.arange(2 * RATE_HZ)[middle] / RATE_HZ))
    )


def test_a_neutral_calibration_changes_nothing():
    estimates, mix = leaky_song()
    np.testing.assert_allclose(filtered(estimates, mix, neutral()), filtered(estimates, mix), atol=1e-5)


def test_an_offset_moves_its_band_alone():
    estimates, mix = leaky_song()
    plain, louder = filtered(estimates, mix), filtered(estimates, mix, offset(1, 5000, 2.0))
    assert power(louder[0], 5000) < 0.25 * power(plain[0], 5000)
    assert power(louder[0], 300) == pytest.approx(power(plain[0], 300), rel=0.02)
    np.testing.assert_allclose(louder.sum(axis=0), mix.T, atol=1e-5)


def test_a_slope_sharpens_the_masks():
    squares = torch.rand(2, 7, 129, generator=torch.Generator().manual_seed(0)) + 0.1
    calibration = MaskCalibration(torch.zeros(2, BANDS), torch.eye(2)[..., None].expand(-1, -1, BANDS))
    masks = calibration.masks(squares, 1.0, band_weights(RATE_HZ, 129))
    np.testing.assert_allclose(masks, ratios_of(squares, 2.0), atol=1e-5)


def test_the_level_of_the_song_does_not_matter():
    random = torch.Generator().manual_seed(0)
    calibration = MaskCalibration(
        torch.randn(2, BANDS, generator=random), 0.3 * torch.randn(2, 2, BANDS, generator=random)
    )
    estimates, mix = leaky_song()
    quiet = filtered(0.01 * estimates, 0.01 * mix, calibration)
    np.testing.assert_allclose(quiet, 0.01 * filtered(estimates, mix, calibration), atol=1e-6)


def test_a_source_that_is_marked_silent_stays_so():
    estimates, mix = leaky_song()
    estimates[1] = 0
    calibration = MaskCalibration(3 * torch.ones(2, BANDS), torch.ones(2, 2, BANDS))
    assert np.abs(filtered(estimates, mix, calibration)[1]).max() < 1e-6


def test_it_travels_among_the_tensors_of_an_adapter():
    calibration = offset(0, 1000, 1.0)
    tensors = {"layer": torch.ones(3), **calibration.tensors}
    taken = MaskCalibration.taken_from(tensors)
    assert list(tensors) == ["layer"]
    assert torch.equal(taken.offsets, calibration.offsets)
    assert torch.equal(taken.slopes, calibration.slopes)
    assert MaskCalibration.taken_from(tensors) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors.pop("calibration.slopes"),
        lambda tensors: tensors["calibration.offsets"].fill_(torch.nan),
        lambda tensors: tensors.update({"calibration.slopes": torch.zeros(2, 2, BANDS + 1)}),
    ],
    ids=["half", "not finite", "other bands"],
)
def test_a_damaged_one_is_refused(damage):
    tensors = offset(0, 1000, 1.0).tensors
    damage(tensors)
    with pytest.raises(CheckpointError, match="calibration"):
        MaskCalibration.taken_from(tensors)
