"""Levels of estimates along a song, however the song is cut into blocks."""

import numpy as np
import pytest

from ugosa_server.marks import LevelMeter, load_levels, save_levels
from ugosa_server.marks.levels import FLOOR_DBFS

RATE_HZ = 8000
HOP = 400
SOURCES = ("drums", "bass")


def measure(mix, estimates, cuts):
    meter = LevelMeter(SOURCES, mix, RATE_HZ)
    for start, stop in zip([0, *cuts], [*cuts, len(mix)], strict=True):
        meter.add(estimates[..., start:stop])
    return meter.levels("abc")


@pytest.fixture
def song():
    random = np.random.default_rng(0)
    n_frames = 10 * HOP + 7
    envelope = np.linspace(0, 1, n_frames)[:, None]
    mix = (random.normal(size=(n_frames, 2)) * envelope).astype(np.float32)
    estimates = np.stack([0.25 * mix.T, np.zeros_like(mix.T)])
    return mix, estimates


@pytest.mark.parametrize("cuts", [[], [1], [399, 400, 401], list(range(13, 4000, 13))])
def test_levels_are_those_of_each_hop_whatever_the_blocks(song, cuts):
    mix, estimates = song
    levels = measure(mix, estimates, cuts)
    expected = [
        max(FLOOR_DBFS, 10 * np.log10(np.mean(np.square(mix[k : k + HOP], dtype=np.float64))))
        for k in range(0, len(mix), HOP)
    ]
    assert levels.hop_frames == HOP
    assert levels.mix_dbfs == pytest.approx(expected, abs=0.051)
    assert levels.sources_dbfs["drums"] == pytest.approx(np.array(expected) + 20 * np.log10(0.25), abs=0.051)
    assert set(levels.sources_dbfs["bass"]) == {FLOOR_DBFS}


def test_levels_come_back_from_their_file(song, tmp_path):
    levels = measure(*song, [1000])
    save_levels(tmp_path / "levels.json", levels)
    assert load_levels(tmp_path / "levels.json") == levels


def test_a_song_shorter_than_a_hop_has_one_level(song):
    mix, estimates = song
    assert len(measure(mix[:5], estimates[..., :5], []).mix_dbfs) == 1
