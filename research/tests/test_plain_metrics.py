"""Plain metrics: the published formulas, written a second time sample by sample."""

import math

import numpy as np
import pytest

from ugosa_research.evaluation.museval_metrics import museval_metrics
from ugosa_research.evaluation.plain_metrics import eps_db, pes_db, sd_sdr_db, sdr_db, si_sdr_db


@pytest.fixture
def truth():
    return np.random.default_rng(0).normal(size=(400, 2))


@pytest.fixture
def estimate(truth):
    return 0.7 * truth + 0.2 * np.random.default_rng(1).normal(size=truth.shape)


def formulas(truth, estimate):
    """SDR, SI-SDR and SD-SDR of Le Roux et al. 2019, with sums in plain Python."""
    t, s = truth.ravel().tolist(), estimate.ravel().tolist()
    alpha = sum(a * b for a, b in zip(s, t, strict=True)) / sum(a * a for a in t)
    power = sum(a * a for a in t)
    scaled_power = sum((alpha * a) ** 2 for a in t)
    error = sum((a - b) ** 2 for a, b in zip(t, s, strict=True))
    scaled_error = sum((alpha * a - b) ** 2 for a, b in zip(t, s, strict=True))
    return tuple(
        10 * math.log10(x / y)
        for x, y in ((power, error), (scaled_power, scaled_error), (scaled_power, error))
    )


def test_ratios_are_the_published_formulas(truth, estimate):
    ours = (sdr_db(truth, estimate), si_sdr_db(truth, estimate), sd_sdr_db(truth, estimate))
    np.testing.assert_allclose(ours, formulas(truth, estimate), atol=1e-9)


def test_sdr_is_that_of_museval(truth, estimate):
    zeros = np.zeros_like(truth)
    theirs, *_ = museval_metrics()._bss_crit(truth, estimate - truth, zeros, zeros, False)
    assert sdr_db(truth, estimate) == pytest.approx(theirs)


def test_a_change_of_level_costs_sdr_and_sd_sdr_but_not_si_sdr(truth, estimate):
    assert si_sdr_db(truth, 3 * estimate) == pytest.approx(si_sdr_db(truth, estimate))
    assert sdr_db(truth, 0.5 * truth) == pytest.approx(20 * math.log10(2))
    assert sd_sdr_db(truth, 0.5 * truth) == pytest.approx(0.0)  # half the level: pays for it twice
    assert sd_sdr_db(truth, 2.0 * truth) == pytest.approx(20 * math.log10(2))


def test_ratios_do_not_apply_to_silence(truth):
    silence = np.zeros_like(truth)
    assert math.isnan(sdr_db(silence, truth))
    assert math.isnan(si_sdr_db(truth, silence))
    assert sdr_db(truth, truth) == math.inf


def test_pes_is_the_energy_that_is_predicted_where_nothing_plays(truth):
    silence = np.zeros_like(truth)
    assert pes_db(silence, np.full((100, 1), 0.1)) == pytest.approx(0.0, abs=1e-6)
    assert pes_db(silence, silence) == pytest.approx(-80.0)
    assert math.isnan(pes_db(truth, truth))


def test_eps_is_the_energy_missed_where_nothing_is_predicted(truth):
    silence = np.zeros_like(truth)
    assert eps_db(np.full((100, 1), 0.1), np.zeros((100, 1))) == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(eps_db(truth, truth))
    assert math.isnan(eps_db(silence, silence))
