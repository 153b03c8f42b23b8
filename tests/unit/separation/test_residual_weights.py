"""Shares of the mix: against a plain loop, and as smooth as the fades."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ugosa_server.separation.residual_weights import (
    CELL_FRAMES,
    EPS,
    cell_powers,
    interpolate_powers,
    residual_weights,
)

SHAPE = (3, 5)
gain = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.001, 0.999))


def weights_by_hand(powers: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """The docstring's sum over subsets, one frame at a time."""
    weights = np.zeros_like(powers)
    sources = range(len(powers))
    for n in range(powers.shape[1]):
        total = 0.0
        for size in range(1, len(powers) + 1):
            for subset in itertools.combinations(sources, size):
                p = np.prod([gains[i, n] if i in subset else 1 - gains[i, n] for i in sources])
                power = sum(powers[j, n] + EPS for j in subset)
                total += p
                for i in subset:
                    weights[i, n] += p * (powers[i, n] + EPS) / power
        weights[:, n] = weights[:, n] / total if total else 1 / len(powers)
    return weights


@given(arrays(float, SHAPE, elements=st.floats(0, 4)), arrays(float, SHAPE, elements=gain))
def test_shares_are_the_documented_sum(powers, gains):
    weights = residual_weights(powers, gains)
    np.testing.assert_allclose(weights, weights_by_hand(powers, gains), atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-12)
    somebody = gains.any(axis=0)
    assert np.all(weights[:, somebody][gains[:, somebody] == 0] == 0)


def test_fades_of_many_sources_near_each_other_take_no_time():
    n_sources, n_frames = 24, 2400
    gains = np.ones((n_sources, n_frames))
    for i in range(n_sources):  # no two at the same time: as sets of all of them, 2^24 to go through
        gains[i, 100 * i : 100 * i + 50] = 0.5
    weights = residual_weights(np.ones((n_sources, n_frames)), gains)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    np.testing.assert_allclose(weights[0, :50], 1 / n_sources / 2)


def test_loud_silent_source_fades_out_of_the_mix_smoothly():
    fade = 0.5 * (1 + np.cos(np.pi * np.arange(442) / 441))
    gains = np.stack([fade, np.ones_like(fade)])
    powers = np.stack([np.full_like(fade, 1.0), np.full_like(fade, 1e-14)])
    weights = residual_weights(powers, gains)
    assert np.abs(np.diff(weights[0])).max() <= np.abs(np.diff(fade)).max() * 1.001


def test_powers_are_means_over_cells_at_absolute_positions():
    stems = np.random.default_rng(0).normal(0, 1, (2, 2, 2 * CELL_FRAMES + 100))
    powers = cell_powers(stems)
    assert powers.shape == (2, 3)
    np.testing.assert_allclose(powers[1, 1], np.mean(stems[1, :, CELL_FRAMES : 2 * CELL_FRAMES] ** 2))
    np.testing.assert_allclose(powers[0, 2], np.mean(stems[0, :, 2 * CELL_FRAMES :] ** 2))


def test_powers_are_linear_between_cell_centres():
    powers = np.array([[1.0, 3.0, 2.0]])
    n = np.arange(3 * CELL_FRAMES)
    expected = np.interp((n + 0.5) / CELL_FRAMES, [0.5, 1.5, 2.5], powers[0])
    np.testing.assert_allclose(interpolate_powers(powers, 0, 0, 3 * CELL_FRAMES)[0], expected)
    np.testing.assert_allclose(
        interpolate_powers(powers[:, 1:], 1, 2 * CELL_FRAMES, 3 * CELL_FRAMES)[0], expected[2 * CELL_FRAMES :]
    )
