"""Recorded notes and hits of a folder of one's own find their key, layer and role."""

import numpy as np
import soundfile

from ugosa_research.songs.bank.recordings import measured_key, recorded_hits, recorded_instruments

RATE_HZ = 44100


def tone(key, seconds=0.6):
    """A plucked tone whose second partial is the loudest, as of a bass."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    f0_hz = 440 * 2 ** ((key - 69) / 12)
    partials = [
        np.sin(2 * np.pi * n * f0_hz * time_s) * g for n, g in ((1, 0.5), (2, 1.0), (3, 0.6), (4, 0.3))
    ]
    return (0.3 * np.exp(-4 * time_s) * sum(partials)).astype(np.float32)


def test_a_measured_key_is_the_octave_that_sounds():
    for key in (28, 40, 45, 60, 76):
        assert measured_key(tone(key), key % 12) == key


def test_the_octave_of_an_instrument_is_measured(tmp_path):
    folder = tmp_path / "bass" / "long scale"
    folder.mkdir(parents=True)
    for name, key in (("a2", 33), ("bb2", 34), ("D_3", 39), ("e3", 40)):  # an octave above what sounds
        for layer in ("f", "p"):
            soundfile.write(folder / f"notes_{name}_{layer}_rr1.ogg", tone(key), RATE_HZ)
    soundfile.write(folder / "notes_a3_mf_rr1.ogg", tone(45), RATE_HZ)  # one note is no layer
    soundfile.write(folder / "noise.ogg", tone(45), RATE_HZ)
    found = {name: (program, list(notes)) for name, program, notes in recorded_instruments(tmp_path, "bass")}
    assert found == {
        "recorded:long scale:notes_f": (33, [33, 34, 39, 40]),
        "recorded:long scale:notes_p": (33, [33, 34, 39, 40]),
    }
    assert list(recorded_instruments(tmp_path, "other")) == []


def test_hits_are_named_without_their_number(tmp_path):
    folder = tmp_path / "drums" / "kit"
    folder.mkdir(parents=True)
    soundfile.write(folder / "KdrumL_03.ogg", tone(30), RATE_HZ)
    assert list(recorded_hits(tmp_path)) == [("recorded:kit", "KdrumL", folder / "KdrumL_03.ogg")]
