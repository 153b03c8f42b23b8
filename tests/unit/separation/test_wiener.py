"""The Wiener filter: what plain NumPy makes of it, stems that add up, marks, and a stream like a whole."""

import numpy as np
import pytest

from ugosa_server.errors import SeparationFailedError
from ugosa_server.marks import Mark, MarkSet, MarkState, SilenceGains
from ugosa_server.separation.wiener import wiener_filtered, wiener_grid

RATE_HZ = 8000
SOURCES = ("a", "b", "c")


def filtered(estimates, mix, exponent=1.0, marks=(), blocks=(), rate_hz=RATE_HZ):
    parts = np.split(estimates, blocks, axis=-1)
    gains = SilenceGains(MarkSet(tuple(marks)), SOURCES[: len(estimates)], len(mix), rate_hz)
    made = wiener_filtered(iter(parts), mix, gains, exponent)
    return np.concatenate(list(made), axis=-1)


def song(n_samples, channels=2, sources=3, seed=0):
    """Estimates [S, C, T] that are not the stems, and a mix [T, C]."""
    random = np.random.default_rng(seed)
    estimates = random.normal(0, 0.1, (sources, channels, n_samples)).astype(np.float32)
    return estimates, random.normal(0, 0.2, (n_samples, channels)).astype(np.float32)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_is_the_formula(exponent, channels):
    estimates, mix = song(9000, channels)
    fft, hop = wiener_grid(RATE_HZ).fft_samples, wiener_grid(RATE_HZ).hop_samples
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
    starts = range(0, len(mix) + 1, hop)  # in audio with half a window of silence before it

    def spectra(audio):  # [..., T] -> [..., frames, F]
        padded = np.pad(audio.astype(np.float64), [(0, 0)] * (audio.ndim - 1) + [(fft // 2, fft)])
        return np.fft.rfft(np.stack([window * padded[..., k : k + fft] for k in starts], axis=-2))

    levels = np.sqrt((np.abs(spectra(estimates)) ** 2).mean(axis=1))  # [S, frames, F]
    ratios = (levels**exponent / (levels**exponent).sum(axis=0))[:, None]
    detail = 0.5 * (spectra(estimates) - ratios * spectra(estimates).sum(axis=0))
    loudest = np.maximum(np.abs(detail).max(axis=0), 1e-30)
    detail *= np.minimum(1, np.abs(spectra(mix.T)) / loudest)  # none is above the mix
    made = window * np.fft.irfft(ratios * spectra(mix.T) + detail, fft)  # [S, C, frames, fft]
    sums, weights = np.zeros((*estimates.shape[:2], len(mix) + 2 * fft)), np.zeros(len(mix) + 2 * fft)
    for frame, k in enumerate(starts):
        sums[..., k : k + fft] += made[:, :, frame]
        weights[k : k + fft] += window**2
    inside = slice(fft // 2, fft // 2 + len(mix))
    np.testing.assert_allclose(
        filtered(estimates, mix, exponent), sums[..., inside] / weights[inside], atol=2e-6
    )


@pytest.mark.parametrize("n_samples", [1, 2, 500, 743, 744, 745, 40_001])
@pytest.mark.parametrize("rate_hz", [8000, 11_025])
def test_stems_are_as_long_as_the_mix_and_add_up_to_it(n_samples, rate_hz):
    estimates, mix = song(n_samples)
    stems = filtered(estimates, mix, rate_hz=rate_hz)
    assert stems.shape == estimates.shape
    np.testing.assert_allclose(stems.sum(axis=0), mix.T, atol=2e-6)


@pytest.mark.parametrize("blocks", [(1,), (744, 745), range(100, 30_000, 777), (29_999,)])
def test_the_blocks_of_the_estimates_make_no_difference(blocks):
    estimates, mix = song(30_000)
    np.testing.assert_array_equal(filtered(estimates, mix, blocks=blocks), filtered(estimates, mix))


def test_true_stems_are_recovered_from_noisy_estimates():
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    stems = np.stack([np.sin(2 * np.pi * hz * time_s) for hz in (200, 900, 2500)])[:, None]
    stems = (0.2 * np.repeat(stems, 2, axis=1)).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 0.01, stems.shape)
    estimates = (0.3 * stems + noise).astype(np.float32)

    def error(found):
        return np.square(found - stems).mean()

    mix = stems.sum(axis=0).T
    assert error(filtered(estimates, mix, 2.0)) < error(filtered(estimates, mix)) < 0.05 * error(estimates)


def test_energy_marked_silent_goes_to_others_by_frequency():
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    low, high = (0.2 * np.sin(2 * np.pi * hz * time_s) for hz in (200, 2500))
    mix = np.stack([low + high] * 2, axis=-1).astype(np.float32)
    estimates = np.stack([0.1 * low, 0.1 * high, low + high])[:, None].repeat(2, axis=1).astype(np.float32)
    marks = [Mark("c", MarkState.SILENT, 0, len(mix))]
    a, b, c = filtered(estimates, mix, marks=marks)
    assert not c.any()
    inner = slice(2000, -2000)
    np.testing.assert_allclose(a[0, inner], low[inner], atol=2e-3)
    np.testing.assert_allclose(b[0, inner], high[inner], atol=2e-3)


def test_where_a_channel_of_the_mix_is_silent_stems_are_too():
    estimates, mix = song(9000)
    mix[:, 1] = 0
    mix[3000:7000] = 0
    stems = filtered(estimates, mix)
    assert not stems[:, 1].any()
    assert not stems[:, :, 4000:6000].any()
    np.testing.assert_allclose(stems.sum(axis=0), mix.T, atol=2e-6)


def test_loud_estimates_of_a_quiet_mix_make_quiet_stems():
    estimates, mix = song(30_000)
    quiet = 1e-4 * mix
    assert np.square(filtered(estimates, quiet)).mean(axis=-1).max() < 4 * np.square(quiet).mean()


def test_where_every_estimate_is_silent_all_share_alike():
    _, mix = song(5000)
    stems = filtered(np.zeros((2, 2, 5000), np.float32), mix)
    np.testing.assert_allclose(stems, np.stack([mix.T / 2] * 2), atol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_estimate_that_is_no_audio_is_named(wrong):
    estimates, mix = song(5000)
    estimates[1, 0, 1234] = wrong
    with pytest.raises(SeparationFailedError, match="b is not audio: NaN or infinite at frame 1234"):
        filtered(estimates, mix)
