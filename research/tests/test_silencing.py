"""Silencing of segments: the gains are the STFT, and the mixture is the sum."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.signal

from ugosa_research.evaluation.silencing import draw_silencing, silenced_blocks, stft_frames


def silence_by_stft(x: np.ndarray, span: tuple[int, int]) -> np.ndarray:
    """librosa's stft and istft with their defaults (n_fft 2048, hop 512, centred), written out."""
    window = scipy.signal.get_window("hann", 2048)
    padded = np.pad(x, 1024 + 2048)[2048:]  # zeros around; more behind, for the last frame
    y, norm = np.zeros(len(padded)), np.zeros(len(padded))
    for k in range(1 + len(x) // 512):
        frame = slice(k * 512, k * 512 + 2048)
        spectrum = np.fft.rfft(padded[frame] * window)
        if span[0] <= k < span[1]:
            spectrum[:] = 0
        y[frame] += np.fft.irfft(spectrum) * window
        norm[frame] += window**2
    return (y[1024:] / np.maximum(norm[1024:], 1e-30))[: len(x)]


@pytest.mark.parametrize("frames", [1, 511, 512, 30_000, 65_536])
def test_gains_equal_the_masked_stft(frames):
    x = np.random.default_rng(0).normal(0, 1, frames)
    silencing = draw_silencing(4, frames, seed=5)
    for gain, span in zip(silencing.gains(0, frames), silencing.stft_spans, strict=True):
        np.testing.assert_allclose(gain * x, silence_by_stft(x, span), atol=1e-9)


def test_each_source_gets_a_segment_of_its_own():
    silencing = draw_silencing(4, 441_000, seed=1)
    spans = sorted(silencing.stft_spans)
    assert spans[0][0] == 0
    assert spans[-1][1] == stft_frames(441_000)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert max(stop - start for start, stop in spans) - min(stop - start for start, stop in spans) <= 1


def test_seed_decides_the_segments():
    assert draw_silencing(4, 441_000, seed=1) == draw_silencing(4, 441_000, seed=1)
    assert len({draw_silencing(4, 441_000, seed=seed).stft_spans for seed in range(20)}) > 5


def test_gains_are_zero_inside_a_segment_and_one_away_from_it():
    silencing = draw_silencing(4, 441_000, seed=1)
    for gain, (start, stop) in zip(silencing.gains(0, 441_000), silencing.stft_spans, strict=True):
        n = np.arange(441_000)
        # A frame next to the segment reaches 2048 samples around its centre.
        inside = (n > (start - 1) * 512 + 1024) & (n < stop * 512 - 1024)
        if start == 0:
            inside = n < stop * 512 - 1024
        if stop == stft_frames(441_000):
            inside = n > (start - 1) * 512 + 1024
        outside = (n < start * 512 - 1024) | (n > (stop - 1) * 512 + 1024)
        assert inside.sum() > 100_000
        assert not gain[inside].any()
        np.testing.assert_allclose(gain[outside], 1, rtol=1e-12)


@pytest.mark.parametrize("block_frames", [1000, 8193, 50_000])
def test_blocks_are_the_edited_stems_and_their_sum(block_frames):
    stems = [np.random.default_rng(i).normal(0, 0.1, (50_000, 2)).astype(np.float32) for i in range(4)]
    silencing = draw_silencing(4, 50_000, seed=3)
    parts = list(silenced_blocks(stems, silencing, block_frames))
    edited = np.concatenate([part[0] for part in parts], axis=1)
    mixture = np.concatenate([part[1] for part in parts])
    expected = np.stack(stems) * silencing.gains(0, 50_000)[:, :, None]
    np.testing.assert_allclose(edited, expected, atol=1e-7)
    np.testing.assert_allclose(mixture, expected.sum(axis=0), atol=1e-6)
