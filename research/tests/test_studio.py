"""Songs through pedalboard's effects: the same by seed, told in a file, and off unless asked for."""

import json

import numpy as np
import pytest

from research.tests.helpers.tiny_bank import save_tiny_bank, tiny_bank
from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, load_bank
from ugosa_research.songs.bank.split import training_split
from ugosa_research.songs.effects import Effect, Studio, require_engine
from ugosa_research.songs.generator import generate_song, metal_song, training_song
from ugosa_research.songs.song_window import SongWindow, WindowPlan, song_path
from ugosa_server.errors import ConfigError

SONG_S = 2.0


@pytest.fixture(scope="module")
def bank():
    return tiny_bank()


def noise(seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (2, SAMPLE_RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize("make", [generate_song, metal_song])
def test_same_seed_gives_same_song_and_effects_change_it(bank, make):
    split = training_split(bank)
    studio = Studio.of_song(11)
    song, again = (make(bank, split, 5, SONG_S, studio) for _ in range(2))
    np.testing.assert_array_equal(song, again)
    plain, other = make(bank, split, 5, SONG_S), make(bank, split, 5, SONG_S, Studio.of_song(12))
    assert not np.allclose(song, plain, atol=1e-3)
    assert not np.allclose(song, other, atol=1e-3)
    assert np.isfinite(song).all()
    assert np.abs(song.sum(axis=0)).max() < 1.0


def test_every_effect_is_heard_and_silence_stays_silent():
    heard = set()
    for seed in range(12):
        studio = Studio.of_song(seed)
        assert Studio.of_song(seed) == studio
        for stem in STEMS:
            assert not studio.treated(stem, np.zeros((2, 5000), np.float32)).any()
            for effect in studio.chains[stem]:
                if effect.name not in heard:
                    alone = Studio({"other": (effect,)}).treated("other", noise())
                    dry = Studio({"other": ()}).treated("other", noise())
                    assert alone.shape == dry.shape
                    assert np.isfinite(alone).all()
                    assert np.abs(alone - dry).max() > 1e-3, effect
                heard.add(effect.name)
    eq = {"LowShelfFilter", "PeakFilter", "HighShelfFilter"}
    assert heard == eq | {"Compressor", "Distortion", "Chorus", "Reverb", "Width"}


def test_a_width_of_0_is_mono():
    audio = Studio({"other": (Effect("Width", (("width", 0.0),)),)}).treated("other", noise())
    np.testing.assert_allclose(audio[0], audio[1], atol=1e-6)


def test_the_window_tells_what_was_done_to_each_song(tmp_path):
    save_tiny_bank(tmp_path / "bank")
    plan = WindowPlan(seed=40, song_s=1.0, n_songs=2, n_ahead=0, effects="pedalboard")
    with SongWindow(plan, tmp_path / "bank", tmp_path / "songs", 1) as window:
        window.start(0)
        made = window.segment(1, slice(None), 0, SAMPLE_RATE_HZ)
    told = json.loads(song_path(tmp_path / "songs", 1).with_suffix(".json").read_text())
    assert told == json.loads(json.dumps(Studio.of_song(41).manifest()))
    assert set(told["chains"]) == set(STEMS)
    bank = load_bank(tmp_path / "bank")
    song = training_song(bank, training_split(bank), 41, 1.0, Studio.of_song(41))
    np.testing.assert_array_equal(made, song.astype(np.float16).astype(np.float32))


def test_an_engine_that_is_not_there_is_told_with_the_way_out(monkeypatch):
    with pytest.raises(ConfigError, match="effects must be one of"):
        require_engine("vst")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'ugosa-research\[train\]'"):
        require_engine("pedalboard")
    require_engine("own")
