"""Masks of a song: made frame by frame with the labels of the marks, applied without drift at any rate."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.models.config import MaskGrid
from ugosa_server.models.cunet.conditioning import LabelContexts
from ugosa_server.models.cunet.config import GRID
from ugosa_server.models.cunet.front_end import spectrum
from ugosa_server.models.network import MaskNetwork
from ugosa_server.separation.masks import (
    SongMasks,
    SourceGrid,
    SpectrumFrames,
    mask_frames,
    mask_plan,
    masked_stems,
    song_masks,
)
from ugosa_server.separation.options import SeparationOptions

RATE_HZ = 11025
SOURCES = ("cello", "flute", "violin")
REACH = 511 + 256  # a frame's half window, and a hop
NYQUIST_HZ = RATE_HZ / 2
WINDOW = SeparationOptions(segment_s=65535 / 11025)


class TransparentNetwork(MaskNetwork):
    """Its masks are its input: source i has label_i + |frame| everywhere."""

    class config:  # noqa: N801
        mask_grid = GRID
        sample_rate_hz = RATE_HZ

    context_shape = (3,)
    takes_labels = True

    def __init__(self):
        super().__init__()
        self.inputs = []

    def forward(self, mix, activity=None, context=None):
        raise NotImplementedError

    def masks(self, frames, context, *, kind="soft"):
        self.inputs.append((frames.shape, context.tolist()))
        made = context[:, :, None, None] + frames.abs()[:, None]
        return (made > 0.5).to(made.dtype) if kind == "hard" else made


def contexts(marks, n_samples, rate_hz=RATE_HZ):
    n_frames = mask_frames(round(n_samples * RATE_HZ / rate_hz), GRID)
    return LabelContexts(MarkSet(tuple(marks)), SOURCES, rate_hz, n_samples, GRID, RATE_HZ, n_frames)


def silent(source, start, end):
    return Mark(source, MarkState.SILENT, start, end)


def test_a_cut_of_frames_is_that_of_the_whole_song():
    song = np.random.default_rng(0).standard_normal((70_000, 1)).astype(np.float32)
    whole = spectrum(torch.from_numpy(song[:, 0])).numpy()
    frames = SpectrumFrames(song, GRID)
    assert len(frames) == whole.shape[1] + 1
    for start, stop in ((0, 3), (0, 274), (100, 101), (200, 275)):
        cut = frames[start:stop]
        assert cut.shape == (stop - start, 512)
        np.testing.assert_allclose(cut[: 274 - start].T, whole[:, start : min(stop, 274)], atol=1e-4)


@pytest.mark.parametrize("n_samples", [1, 255, 256, 65_535, 65_536, 65_537, 400_000])
@pytest.mark.parametrize("options", [WINDOW, replace(WINDOW, overlap=0.5, shifts=2), SeparationOptions(1.0)])
def test_masks_of_any_length_lie_where_they_were_made(n_samples, options):
    song = np.random.default_rng(0).standard_normal((n_samples, 1)).astype(np.float32)
    grid = GRID
    blocks = list(song_masks(TransparentNetwork(), song, contexts((), n_samples), [2, 0], options, seed=1))
    assert len(blocks) == len(mask_plan(n_samples, RATE_HZ, grid, options).starts)
    masks = np.concatenate(blocks, axis=-1)
    expected = 1 + np.abs(SpectrumFrames(song, grid)[:].T)
    np.testing.assert_allclose(masks, np.stack([expected] * 2), rtol=1e-4, atol=1e-4)


def test_a_window_of_the_paper_is_256_frames():
    plan = mask_plan(1_000_000, RATE_HZ, GRID, WINDOW)
    assert plan.segment_frames == 256
    assert plan.starts[1] == 192


def test_every_frame_takes_the_masks_of_its_own_labels():
    n_samples = 60_000
    song = np.zeros((n_samples, 1), np.float32)
    marks = (silent("cello", 0, 20_000), silent("violin", 10_000, 30_000))
    network = TransparentNetwork()
    masks = np.concatenate(
        list(song_masks(network, song, contexts(marks, n_samples), range(3), WINDOW, seed=0)), axis=-1
    )
    position = np.arange(masks.shape[-1]) * 256
    np.testing.assert_array_equal(masks[0, 7] == 0, position <= 20_000 - REACH)
    np.testing.assert_array_equal(
        masks[2, 7] == 0, (position >= 10_000 + REACH) & (position <= 30_000 - REACH)
    )
    assert (masks[1] == 1).all()
    used = [labels for _, batch in network.inputs for labels in batch]
    assert sorted(used) == [[0, 1, 0], [0, 1, 1], [1, 1, 0], [1, 1, 1]]


def test_the_grid_counts_its_bins():
    assert (GRID.bins, MaskGrid(8, 2).bins) == (512, 5)


def separated(masks, mix, rate_hz, block=100):
    """[S + 1, C, T]; the masks go in in blocks."""
    blocks = (masks[..., i : i + block] for i in range(0, masks.shape[-1], block))
    return np.concatenate(list(masked_stems(blocks, mix, rate_hz, GRID, RATE_HZ)), axis=-1)


def frames_of(mix, rate_hz):
    return mask_frames(max(1, round(len(mix) * RATE_HZ / rate_hz)), GRID)


def tone(frequency_hz, n_samples, rate_hz):
    return np.sin(2 * np.pi * frequency_hz * np.arange(n_samples) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("n_samples", [1, 2, 1000, 30_001])
def test_stems_and_residual_are_the_mix_at_any_rate_and_length(rate_hz, n_samples):
    random = np.random.default_rng(n_samples)
    mix = random.standard_normal((n_samples, 2)).astype(np.float32)
    masks = random.random((3, 512, frames_of(mix, rate_hz))).astype(np.float32)
    stems = separated(masks, mix, rate_hz)
    assert stems.shape == (4, 2, n_samples)
    np.testing.assert_allclose(stems.sum(axis=0, dtype=np.float64), mix.T, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_mask_of_ones_takes_the_band_and_leaves_the_rest(rate_hz):
    n_samples = rate_hz
    low, high = tone(2000, n_samples, rate_hz), tone(9000, n_samples, rate_hz)
    mix = np.stack([low + high, 0.5 * low], axis=-1)
    masks = np.ones((1, 512, frames_of(mix, rate_hz)), np.float32)
    stem, residual = separated(masks, mix, rate_hz)
    inner = slice(3000, -3000)
    np.testing.assert_allclose(stem[0, inner], low[inner], atol=1e-3)
    np.testing.assert_allclose(stem[1, inner], 0.5 * low[inner], atol=1e-3)
    np.testing.assert_allclose(residual[0, inner], high[inner], atol=1e-3)


def test_four_times_the_rate_shares_the_networks_grid():
    stft = SourceGrid.of(GRID, RATE_HZ, 44_100)
    assert (stft.fft_samples, stft.hop_samples) == (4088, 1024)
    assert (stft.bins_per_bin, stft.frames_per_frame) == (1.0, 1.0)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_a_mask_that_opens_late_in_a_long_song_opens_on_time(rate_hz):
    opens_s, n_samples = 118.0, 120 * rate_hz
    mix = tone(1000, n_samples, rate_hz)[:, None]
    n_frames = frames_of(mix, rate_hz)
    masks = np.zeros((1, 512, n_frames), np.float32)
    masks[..., round(opens_s * RATE_HZ / 256) :] = 1
    stem = np.abs(separated(masks, mix, rate_hz)[0, 0])
    half_open = np.flatnonzero(stem > 0.5)[0] / rate_hz
    assert half_open == pytest.approx(opens_s, abs=0.03)  # a hop is 23 ms


def test_a_mask_acts_on_its_own_frequencies():
    rate_hz = 48_000
    mix = (tone(500, rate_hz, rate_hz) + tone(3000, rate_hz, rate_hz))[:, None]
    masks = np.zeros((2, 512, frames_of(mix, rate_hz)), np.float32)
    split = round(1500 / NYQUIST_HZ * 511)
    masks[0, :split], masks[1, split:] = 1, 1
    low, high, residual = separated(masks, mix, rate_hz)[:, 0, 5000:-5000]
    np.testing.assert_allclose(low, tone(500, rate_hz, rate_hz)[5000:-5000], atol=2e-3)
    np.testing.assert_allclose(high, tone(3000, rate_hz, rate_hz)[5000:-5000], atol=2e-3)
    assert np.abs(residual).max() < 2e-3


def test_the_sizes_of_blocks_of_masks_do_not_matter():
    random = np.random.default_rng(0)
    mix = random.standard_normal((60_000, 1)).astype(np.float32)
    masks = random.random((2, 512, frames_of(mix, 48_000))).astype(np.float32)
    whole = separated(masks, mix, 48_000, block=10_000)
    for block in (1, 7, 33):
        np.testing.assert_array_equal(separated(masks, mix, 48_000, block), whole)


def test_masks_between_frames_are_interpolated():
    masks = np.arange(12, dtype=np.float32).reshape(1, 2, 6)
    song = SongMasks(masks[..., i : i + 2] for i in range(0, 6, 2))
    np.testing.assert_allclose(song.at(np.array([0.0, 0.25]))[0], [[0, 0.25], [6, 6.25]])
    np.testing.assert_allclose(song.at(np.array([2.5, 4.0]))[0], [[2.5, 4], [8.5, 10]])
    np.testing.assert_allclose(song.at(np.array([5.0, 9.5]))[0], [[5, 5], [11, 11]])
