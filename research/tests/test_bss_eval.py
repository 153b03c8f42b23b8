"""BSS Eval v4: museval's numbers, and windows in which another source is silent count."""

import numpy as np
import pytest
import scipy.signal

from ugosa_research.evaluation.bss_eval import BssReference
from ugosa_research.evaluation.museval_metrics import score_with_museval
from ugosa_research.evaluation.windows import Windows

RATE_HZ = 8000
FRAMES = 3 * RATE_HZ
HALVES = Windows(1.0, 0.75)
TAPS = 64  # museval takes seconds for each estimate with the 512 of the definition


@pytest.fixture(scope="module")
def images():
    """[S, T, C]: noise through different low-passes, panned, so that channels and sources correlate."""
    random = np.random.default_rng(0)
    shared = random.normal(size=FRAMES)
    sources = []
    for cutoff, pan in ((0.2, 0.9), (0.5, 0.4), (0.9, 0.6)):
        mono = scipy.signal.lfilter(
            *scipy.signal.butter(2, cutoff), random.normal(size=FRAMES) + 0.3 * shared
        )
        sources.append(
            np.stack([pan * mono, (1 - pan) * mono], axis=-1) + 0.01 * random.normal(size=(FRAMES, 2))
        )
    return np.stack(sources)


@pytest.fixture(scope="module")
def estimates(images):
    """Each with a filter, some of another source, and noise."""
    random = np.random.default_rng(1)
    filtered = scipy.signal.lfilter([0.8, 0.1, -0.2], [1.0], images, axis=1)
    return filtered + 0.2 * np.roll(images, 1, axis=0) + 0.05 * random.normal(size=images.shape)


def windows_of(windows):
    return list(windows.slices(FRAMES, RATE_HZ))


def test_the_numbers_are_those_of_museval(images, estimates):
    ours = BssReference(images, 0.0, TAPS).score(estimates, windows_of(HALVES))
    theirs = score_with_museval(images, estimates, RATE_HZ, 3 * RATE_HZ // 4, TAPS)
    for name in ("sdr", "isr", "sir", "sar"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5, err_msg=name)
    assert ours.sdr.shape == (3, 3)


def test_the_load_changes_nothing_for_images_that_fill_the_band(images, estimates):
    ours = BssReference(images, filter_length=TAPS).score(estimates, windows_of(HALVES))
    theirs = score_with_museval(images, estimates, RATE_HZ, 3 * RATE_HZ // 4, TAPS)
    for name in ("sdr", "isr", "sir", "sar"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-2, err_msg=name)


def test_noise_above_the_band_of_images_counts_as_artefact(images):
    """As after a lossy file: museval, without a load, takes the cut edges of windows for interference."""
    low_pass = scipy.signal.cheby2(12, 100, 0.7, output="sos")
    limited = scipy.signal.sosfiltfilt(low_pass, images, axis=1)
    noise = np.random.default_rng(2).normal(size=images.shape)
    estimates = 0.8 * limited + 0.01 * noise
    window = slice(RATE_HZ // 2, RATE_HZ // 2 + RATE_HZ)
    loaded = BssReference(limited, filter_length=TAPS).score(estimates, [window])
    energies = (0.8 * limited[:, window]) ** 2, (0.01 * noise[:, window]) ** 2
    expected = 10 * np.log10(energies[0].sum(axis=(1, 2)) / energies[1].sum(axis=(1, 2)))
    theirs = score_with_museval(limited, estimates, RATE_HZ, RATE_HZ // 2, TAPS)
    np.testing.assert_allclose(loaded.sar[:, 0], expected, atol=1.0)
    assert (theirs.sar[:, 1] < expected - 10).all()


def test_a_silent_source_costs_the_others_nothing(images, estimates):
    """Where museval gives NaN for all, the sources that sound have the score that they have alone."""
    silenced = images.copy()
    silenced[0, : FRAMES // 2] = 0
    window = slice(0, RATE_HZ)
    ours = BssReference(silenced, filter_length=TAPS).score(estimates, [window])
    theirs = score_with_museval(silenced, estimates, RATE_HZ, RATE_HZ, TAPS)
    assert np.isnan(theirs.sdr[:, 0]).all()
    assert np.isnan(ours.sdr[0, 0])
    error = estimates[1:, window] - silenced[1:, window]
    expected = 10 * np.log10((silenced[1:, window] ** 2).sum(axis=(1, 2)) / (error**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(ours.sdr[1:, 0], expected, atol=1e-9)
    assert np.isfinite([ours.sir[1:], ours.sar[1:], ours.isr[1:]]).all()


def test_silent_source_and_muted_estimate_have_no_score(images, estimates):
    silenced, muted = images.copy(), estimates.copy()
    silenced[2] = 0
    muted[0] = 0
    scores = BssReference(silenced, filter_length=TAPS).score(muted, windows_of(HALVES))
    assert np.isnan(scores.sdr[[0, 2]]).all()
    assert np.isfinite(scores.sdr[1]).all()


def test_a_filtered_source_has_no_interference_and_no_artefacts(images):
    filtered = scipy.signal.lfilter([0.5, 0.3], [1.0], images, axis=1)
    scores = BssReference(images, filter_length=TAPS).score(filtered, [slice(0, FRAMES)])
    assert scores.sir.min() > 40
    assert scores.sar.min() > 40
    assert scores.isr.max() < 20


def test_estimates_of_another_shape_are_refused(images):
    with pytest.raises(ValueError, match=r"\(3, 10, 2\).*\(3, 24000, 2\)"):
        BssReference(images, filter_length=TAPS).score(images[:, :10], [slice(0, 10)])
