"""Separation in segments: a stream that gives what the whole-song computation gives, at any length."""

import numpy as np
import pytest
import torch

from tests.helpers.tiny_network import noise_song, tiny_network
from ugosa_server.separation.options import SeparationOptions
from ugosa_server.separation.overlap_add import SegmentPlan, separate_in_segments, triangle

RATE_HZ = 1000
OPTIONS = SeparationOptions(segment_s=0.4)
LENGTHS = [1, 2, 399, 400, 401, 700, 1000, 1234]
SCALES = torch.tensor([1.0, 0.5, -2.0])


def scaled_copies(batch, start):
    """A memoryless network of three sources: [B, C, T] -> [B, 3, C, T]."""
    return batch[:, None] * SCALES[:, None, None]


def runs(network):
    """A network as what separates a window, wherever it lies."""
    return lambda batch, start: network(batch)


def separated(separate, song, options, seed=0):
    return np.concatenate(list(separate_in_segments(separate, song, RATE_HZ, options, seed)), axis=-1)


def whole_song(separate, song, options):
    """The plain twin: every segment in memory, one division at the end."""
    plan = SegmentPlan.of(len(song), RATE_HZ, options)
    weights = triangle(plan.segment_frames).astype(np.float64)
    total, weight = 0.0, np.zeros(len(song))
    for start in plan.starts:
        stop = start + plan.segment_frames
        with torch.no_grad():
            estimate = separate(torch.from_numpy(song[start:stop].T.copy())[None], start)[0].double().numpy()
        padded = np.zeros((*estimate.shape[:2], len(song)))
        padded[..., start:stop] = weights * estimate
        total = total + padded
        weight[start:stop] += weights
    return total / weight


@pytest.mark.parametrize("n_frames", LENGTHS)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
@pytest.mark.parametrize("shifts", [0, 3])
def test_a_memoryless_network_gives_its_input_back_everywhere(n_frames, overlap, shifts):
    song = noise_song(n_frames)
    stems = separated(scaled_copies, song, SeparationOptions(0.4, overlap, shifts))
    np.testing.assert_allclose(stems, song.T[None] * SCALES.numpy()[:, None, None], atol=1e-5)


@pytest.mark.parametrize("n_frames", LENGTHS)
@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_the_stream_is_the_whole_song_computation(n_frames, overlap):
    separate, song = runs(tiny_network()), noise_song(n_frames)
    options = SeparationOptions(0.4, overlap)
    np.testing.assert_allclose(
        separated(separate, song, options), whole_song(separate, song, options), atol=1e-5, rtol=1e-5
    )


def test_blocks_are_no_longer_than_a_segment_whatever_the_song():
    sizes = [
        block.shape[-1]
        for block in separate_in_segments(scaled_copies, noise_song(10_000), RATE_HZ, OPTIONS, seed=0)
    ]
    assert max(sizes) == 400
    assert sum(sizes) == 10_000


def test_shifts_are_drawn_from_the_seed():
    separate, song = runs(tiny_network()), noise_song(900)
    options = SeparationOptions(0.4, shifts=2)
    first, second, other = (separated(separate, song, options, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-4


def test_one_segment_is_the_network_itself():
    network, song = tiny_network(), noise_song(300)
    with torch.no_grad():
        direct = network(torch.from_numpy(song.T.copy())[None])[0]
    np.testing.assert_allclose(separated(runs(network), song, OPTIONS), direct, atol=1e-6)


@pytest.mark.parametrize("shifts", [0, 2])
def test_beginning_segments_ahead_as_on_a_gpu_changes_no_bit(shifts, monkeypatch):
    network, song = tiny_network(), noise_song(1234)
    options = SeparationOptions(0.4, 0.25, shifts)
    plain = separated(runs(network), song, options)
    monkeypatch.setattr("ugosa_server.separation.overlap_add.segments_ahead", lambda device: 1)
    begun = []

    def counting(batch, start):
        begun.append(batch.shape)
        return network(batch)

    ahead = []
    for block in separate_in_segments(counting, song, RATE_HZ, options, 0):
        ahead.append((block, len(begun) // max(1, shifts)))
    np.testing.assert_array_equal(np.concatenate([block for block, _ in ahead], axis=-1), plain)
    n_segments = len(ahead)
    assert [n_begun for _, n_begun in ahead] == [min(i + 2, n_segments) for i in range(n_segments)]


@pytest.mark.parametrize("shifts", [0, 3])
def test_windows_are_given_with_their_place_in_the_song(shifts):
    song = np.arange(1, 1235, dtype=np.float32)[:, None]  # a sample is the number of its frame, from 1
    windows = []

    def remember(batch, start):
        windows.append((start, batch[0, 0].numpy()))
        return batch[:, None]

    separated(remember, song, SeparationOptions(0.4, 0.25, shifts))
    for start, window in windows:
        np.testing.assert_array_equal(window, np.arange(start + 1, start + 1 + len(window)).clip(0))
    assert (min(start for start, _ in windows) < 0) == bool(shifts)
