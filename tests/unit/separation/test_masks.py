"""Masks of a song: every frame hears what the marks say of it, and windows join without drift."""

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
from ugosa_server.separation.masks import SpectrumFrames, mask_frames, mask_plan, song_masks
from ugosa_server.separation.options import SeparationOptions

RATE_HZ = 11025
SOURCES = ("cello", "flute", "violin")
REACH = 511 + 256  # a frame's half window, and a hop
WINDOW = SeparationOptions(segment_s=65535 / 11025)


class TellingNetwork(MaskNetwork):
    """Its masks are what it was told and what it hears: source i has label_i + |frame| everywhere."""

    class config:  # noqa: N801
        mask_grid = GRID
        sample_rate_hz = RATE_HZ

    context_shape = (3,)
    takes_labels = True

    def __init__(self):
        super().__init__()
        self.heard = []

    def forward(self, mix, activity=None, context=None):
        raise NotImplementedError

    def masks(self, frames, context, *, kind="soft"):
        self.heard.append((frames.shape, context.tolist()))
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
    blocks = list(song_masks(TellingNetwork(), song, contexts((), n_samples), [2, 0], options, seed=1))
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
    network = TellingNetwork()
    masks = np.concatenate(
        list(song_masks(network, song, contexts(marks, n_samples), range(3), WINDOW, seed=0)), axis=-1
    )
    position = np.arange(masks.shape[-1]) * 256
    np.testing.assert_array_equal(masks[0, 7] == 0, position <= 20_000 - REACH)
    np.testing.assert_array_equal(
        masks[2, 7] == 0, (position >= 10_000 + REACH) & (position <= 30_000 - REACH)
    )
    assert (masks[1] == 1).all()
    told = [labels for _, batch in network.heard for labels in batch]
    assert sorted(told) == [[0, 1, 0], [0, 1, 1], [1, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_marks_are_in_frames_of_the_song_and_reach_to_its_ends(rate_hz):
    n_samples = 4 * rate_hz
    found, choice = contexts((silent("flute", 0, n_samples),), n_samples, rate_hz).of(-30, 500)
    assert found.tolist() == [[1, 0, 1]]
    assert choice.tolist() == [0] * 530
    found, choice = contexts((silent("flute", rate_hz, 2 * rate_hz),), n_samples, rate_hz).of(0, 172)
    times_s = np.flatnonzero(found[choice][:, 1] == 0) * 256 / RATE_HZ
    assert times_s[0] - REACH / RATE_HZ >= 1.0 > times_s[0] - (REACH + 256) / RATE_HZ
    assert times_s[-1] + REACH / RATE_HZ <= 2.0 < times_s[-1] + (REACH + 256) / RATE_HZ


def test_a_mark_that_no_frame_fits_into_tells_nothing():
    found, _ = contexts((silent("flute", 5_000, 6_400),), 60_000).of(0, 236)
    assert found.tolist() == [[1, 1, 1]]


def test_the_grid_counts_its_bins():
    assert (GRID.bins, MaskGrid(8, 2).bins) == (512, 5)
