"""Pitch-shifted observations keep length and tempo, and are the same in every epoch."""

import numpy as np
import pytest
import torch

from tests.helpers.tiny_network import first_half_silent, noise_song, tiny_network
from ugosa_server.adaptation.loop import adapt, adaptation_of, count_steps
from ugosa_server.adaptation.pitch_shift import (
    FFT_SAMPLES,
    HOP_SAMPLES,
    MAX_SHIFT_SEMITONES,
    Observation,
    observations,
    pitch_shift,
    stretch_spectrum,
)
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.models.checkpoints import weights_digest

RATE_HZ = 44_100


def pitch_hz(signal):
    windowed = signal * np.hanning(len(signal))
    return np.argmax(np.abs(np.fft.rfft(windowed))) * RATE_HZ / len(signal)


@pytest.mark.parametrize("semitones", [-12, -5.3, 3, 12])
def test_a_tone_moves_by_the_interval_and_keeps_its_level(semitones):
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    tones = np.stack([np.sin(2 * np.pi * 440 * t), 0.5 * np.sin(2 * np.pi * 1000 * t)]).astype(np.float32)
    shifted = pitch_shift(tones, semitones)
    assert shifted.shape == tones.shape
    for channel, hz in zip(shifted[:, 8192:-8192], (440, 1000), strict=True):
        assert pitch_hz(channel) == pytest.approx(hz * 2 ** (semitones / 12), rel=2e-3)
    level_db = 10 * np.log10((shifted**2).mean() / (tones**2).mean())
    assert -2 < level_db < 0.5


@pytest.mark.parametrize("semitones", [-12, 7])
def test_tempo_stays_so_that_the_marks_hold(semitones):
    onset = RATE_HZ
    burst = np.zeros((1, 2 * RATE_HZ), np.float32)
    burst[0, onset : onset + 8000] = np.sin(2 * np.pi * 600 * np.arange(8000) / RATE_HZ)
    loud = np.abs(pitch_shift(burst, semitones)[0]) > 0.2
    assert np.flatnonzero(loud)[0] == pytest.approx(onset, abs=FFT_SAMPLES)
    assert np.flatnonzero(loud)[-1] == pytest.approx(onset + 8000, abs=2 * FFT_SAMPLES)


def test_the_phase_vocoder_is_the_one_of_the_equation():
    random = torch.Generator().manual_seed(1)
    spectrum = torch.randn(1, FFT_SAMPLES // 2 + 1, 6, dtype=torch.complex64, generator=random)
    factor = 1.5
    x = np.pad(spectrum[0].numpy().astype(np.complex128), ((0, 0), (0, 1)))
    expected = np.zeros((x.shape[0], 9), complex)
    for f in range(x.shape[0]):
        w, phase = 2 * np.pi * HOP_SAMPLES * f / FFT_SAMPLES, np.angle(x[f, 0])
        for j in range(9):
            k = int(j / factor)
            share = j / factor - k
            expected[f, j] = ((1 - share) * abs(x[f, k]) + share * abs(x[f, k + 1])) * np.exp(1j * phase)
            turn = np.angle(x[f, k + 1]) - np.angle(x[f, k]) - w
            phase += w + (turn + np.pi) % (2 * np.pi) - np.pi
    stretched = stretch_spectrum(spectrum, factor)[0].numpy()
    assert stretched.shape == expected.shape
    np.testing.assert_allclose(stretched, expected, atol=1e-2 * np.abs(expected).max())  # float32 phases sum


@pytest.mark.parametrize("n_frames", [1, 100, 3000])
def test_audio_shorter_than_a_frame_keeps_its_length(n_frames):
    assert pitch_shift(np.ones((2, n_frames), np.float32), 4).shape == (2, n_frames)


def test_segments_are_observed_plain_and_shifted():
    seen = observations([0, 100, 200], 3, seed=5)
    assert [o for o in seen if o.semitones == 0] == [Observation(start, 0.0) for start in (0, 100, 200)]
    shifts = [o.semitones for o in seen if o.semitones]
    assert len(shifts) == len(set(shifts)) == 9
    assert max(map(abs, shifts)) <= MAX_SHIFT_SEMITONES == 12
    assert seen == observations([0, 100, 200], 3, seed=5) != observations([0, 100, 200], 3, seed=6)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_prefix_cache_copes_with_shifted_observations(batch_size):
    song = noise_song(6000)
    marks = first_half_silent(1, len(song))
    options = AdaptationOptions(
        "P-L3:M", learning_rate=1e-2, epochs=2, segment_s=0.3, pitch_shifts=2, batch_size=batch_size
    )
    digests = set()
    for budget in (0, 1 << 30):
        network = tiny_network()
        with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
            steps = list(
                adapt(network, parameters, song, marks, options, 0, cache_budget=CacheBudget(budget))
            )
            digests.add(weights_digest(network.state_dict()))
        assert len(steps) == count_steps(6000, 8000, options) == 2 * -(-9 // batch_size)
    assert len(digests) == 1
