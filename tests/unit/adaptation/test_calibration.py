"""Sources that a network takes for too loud throughout a song are calibrated by its remixes."""

import numpy as np
import torch

from tests.helpers.two_part_song import (
    DRUMS,
    MARKS,
    MIX,
    RATE_HZ,
    SILENT_UNTIL,
    SOURCES,
    STEMS,
    VOCALS,
    pool_of,
)
from ugosa_server.adaptation.calibration import WORK_STEPS, fit_calibration
from ugosa_server.marks import Mark, MarkSet, MarkState, SilenceGains
from ugosa_server.separation.calibration import band_weights
from ugosa_server.separation.wiener import wiener_filtered

EXPONENT = 0.8


def timid(window):
    """A network whose vocals are a third of what is between 500 and 900 Hz: [C, T] -> [S, C, T]."""
    spectrum = torch.fft.rfft(window)
    hz = torch.linspace(0, RATE_HZ / 2, spectrum.shape[-1])
    estimates = torch.zeros(len(SOURCES), *window.shape)
    estimates[VOCALS] = 0.3 * torch.fft.irfft(spectrum * ((hz > 500) & (hz < 900)), window.shape[-1])
    estimates[DRUMS] = window - estimates[VOCALS]
    return estimates


def fit(pool, seed=0, steps=None):
    work = fit_calibration(timid, pool, EXPONENT, RATE_HZ, seed)
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            return end.value
        if steps is not None:
            steps.append(step)


def error_of(calibration):
    """Power of the error of the vocals in the second half of the song, under the marks."""
    estimates = timid(torch.from_numpy(MIX.T.copy())).numpy()
    gains = SilenceGains(MARKS, SOURCES, len(MIX), RATE_HZ)
    blocks = wiener_filtered(iter([estimates]), MIX, gains, EXPONENT, calibration=calibration)
    errors = np.concatenate(list(blocks), axis=-1) - STEMS
    return float(np.square(errors[VOCALS, :, SILENT_UNTIL:]).mean())


def test_it_learns_where_the_vocals_are_too_quiet():
    calibration = fit(pool_of())
    louder = (calibration.offsets[VOCALS] - calibration.offsets[DRUMS]) @ band_weights(
        RATE_HZ, RATE_HZ // 2 + 1
    )
    assert louder[700] > 0.1
    assert abs(louder[3000]) < 0.5 * louder[700]
    assert error_of(calibration) < 0.8 * error_of(None)


def test_the_same_seed_gives_the_same_numbers():
    one, again, other = fit(pool_of()), fit(pool_of()), fit(pool_of(), seed=1)
    assert torch.equal(one.offsets, again.offsets)
    assert torch.equal(one.slopes, again.slopes)
    assert not torch.equal(one.offsets, other.offsets)


def no_vocals(seconds):
    return MarkSet((Mark("vocals", MarkState.SILENT, 0, seconds * RATE_HZ),))


def test_sources_that_no_sum_tells_apart_share_numbers():
    calibration = fit(pool_of(no_vocals(8)))
    rest = [i for i in range(len(SOURCES)) if i != VOCALS]
    for numbers in (calibration.offsets, calibration.slopes):
        assert all(torch.equal(numbers[i], numbers[DRUMS]) for i in rest)
        assert not torch.allclose(numbers[VOCALS], numbers[DRUMS], atol=0.01)


def test_a_moment_of_silence_calibrates_nothing():
    assert fit(pool_of(no_vocals(2))) is None
    assert fit(pool_of(no_vocals(4))) is not None


def test_without_remixes_there_is_none():
    assert fit(pool_of(MarkSet())) is None


def test_its_steps_are_counted():
    steps = []
    fit(pool_of(), steps=steps)
    assert steps == list(range(WORK_STEPS))
