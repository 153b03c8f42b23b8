"""A bank survives the disk, and what validates a network never trained it."""

import argparse
import sys

import numpy as np
import pytest

from research.tests.helpers.tiny_bank import save_tiny_bank, tiny_bank
from ugosa_research.songs.bank.pools import load_bank
from ugosa_research.songs.bank.split import training_split, validation_split
from ugosa_research.songs.soundfont import SoundfontPlayer
from ugosa_research.training.commands import build_data
from ugosa_server.errors import ConfigError


def test_a_saved_bank_loads_the_same(tmp_path):
    saved = save_tiny_bank(tmp_path / "bank")
    loaded = load_bank(tmp_path / "bank")
    assert loaded.drums.kit_names == saved.drums.kit_names
    assert loaded.grooves.names == saved.grooves.names
    np.testing.assert_array_equal(loaded.grooves.events, saved.grooves.events)
    np.testing.assert_array_equal(loaded.syllables.marks, saved.syllables.marks)
    for kind in ("drums", "bass", "other", "syllables", "loops"):
        before, after = getattr(saved, kind).audio, getattr(loaded, kind).audio
        np.testing.assert_array_equal(after.lengths, before.lengths)
        assert len(after.samples) == len(before.samples)
    note, back = saved.bass.audio.clip(1), loaded.bass.audio.clip(1)
    assert np.corrcoef(note, back)[0, 1] > 0.99  # Vorbis is lossy


def test_a_folder_without_a_bank_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="train data"):
        load_bank(tmp_path)


def test_training_and_validation_share_nothing():
    bank = tiny_bank()
    training, validation = training_split(bank), validation_split(bank)
    for kind in ("kits", "basses", "others", "voices", "patterns", "drum_loops", "guitar_loops"):
        train, held_out = set(getattr(training, kind)), set(getattr(validation, kind))
        assert train
        assert held_out
        assert not train & held_out
    assert bank.syllables.voice_names[validation.voices[0]] == "erithacus"
    assert training.voice_weights.sum() == pytest.approx(1)


def test_without_the_extra_the_way_out_is_told(tmp_path, monkeypatch):
    for name in ("build", "grooves", "midi_songs"):
        monkeypatch.delitem(sys.modules, f"ugosa_research.songs.bank.{name}", raising=False)
    for name in ("mido", "fluidsynth"):
        monkeypatch.setitem(sys.modules, name, None)  # as if they were not installed
    with pytest.raises(ConfigError, match=r"need mido: pip install 'ugosa-research\[train\]'"):
        build_data(argparse.Namespace(out=tmp_path / "bank", voices=tmp_path))
    with pytest.raises(ConfigError, match="libfluidsynth3"):
        SoundfontPlayer()
