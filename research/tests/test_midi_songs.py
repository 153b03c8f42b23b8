"""MIDI songs as arrangements: parts by channel, stretches of 16 bars, and the harmony that they imply."""

import mido
import numpy as np
import pytest

from ugosa_research.songs.arrangement import arranged
from ugosa_research.songs.bank.grooves import grooves_of
from ugosa_research.songs.bank.midi_songs import (
    MIDI_FOLDERS,
    MOST_STRETCHES,
    degrees_of,
    key_of,
    midi_song_patterns,
    stretches,
)
from ugosa_research.songs.bank.pools import TICKS_PER_BEAT

TICKS = 96  # a beat of the test's files
A_MINOR = (9, True)
CHORDS = {0: (9, 0, 4), 3: (2, 5, 9), 4: (4, 7, 11)}  # A minor, D minor, E minor: pitch classes
FORM = (0, 3, 4, 0)  # a chord a bar


@pytest.fixture
def make_song(tmp_path):
    """Write a song: drums on the beat, bass on the roots, piano chords; all in one track, by channel."""

    def make(bars, drums_until=10**9, signature=(4, 4), tempo_bpm=150):
        notes = []  # (beat, beats, channel, key)
        for bar in range(bars):
            root, *others = CHORDS[FORM[bar % 4]]
            if bar < drums_until:
                notes += [(4 * bar + beat, 0.25, 9, 36) for beat in range(4)]
            notes.append((4 * bar, 4, 1, 36 + root))
            notes += [(4 * bar, 3.5, 0, 60 + key) for key in (root, *others)]
        messages = [(0, mido.Message("program_change", channel=1, program=33))]
        for beat, beats, channel, key in notes:
            messages.append((beat, mido.Message("note_on", channel=channel, note=key, velocity=90)))
            messages.append((beat + beats, mido.Message("note_off", channel=channel, note=key)))
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("time_signature", numerator=signature[0], denominator=signature[1]))
        track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo_bpm)))
        time = 0
        for beat, message in sorted(messages, key=lambda entry: entry[0]):
            track.append(message.copy(time=round(beat * TICKS) - time))
            time = round(beat * TICKS)
        song = mido.MidiFile(ticks_per_beat=TICKS)
        song.tracks.append(track)
        path = tmp_path / "song.mid"
        song.save(path)
        return path

    return make


def test_a_stretch_has_its_parts_its_tempo_and_its_harmony(make_song):
    first, second = stretches(make_song(bars=32), "game/song")
    assert (first.name, second.name) == ("game/song/1", "game/song/2")
    assert first.harmony.tempo_bpm == pytest.approx(150, abs=0.01)
    assert (first.harmony.tonic, first.harmony.minor) == A_MINOR
    assert first.harmony.degrees == second.harmony.degrees == FORM * 4
    parts = dict(first.parts)
    assert set(parts) == {-1, 0, 33}
    assert parts[33][1] == (4 * TICKS_PER_BEAT, 4 * TICKS_PER_BEAT, 36 + 2, 90)
    assert len(parts[-1]) == 64
    assert dict(second.parts)[33][0][0] == 0


@pytest.mark.parametrize("what", [{"signature": (3, 4)}, {"drums_until": 11}, {"bars": 0}])
def test_songs_in_three_and_stretches_without_drums_are_left_out(make_song, what):
    assert stretches(make_song(**{"bars": 16, **what}), "game/song") == []


def test_a_file_that_is_no_song_is_left_out(tmp_path):
    (tmp_path / "no.mid").write_bytes(b"MThd no")
    assert stretches(tmp_path / "no.mid", "no") == []


def test_a_long_song_gives_no_more_than_its_first_stretches(make_song):
    assert len(stretches(make_song(bars=16 * (MOST_STRETCHES + 2)), "game/song")) == MOST_STRETCHES


def test_an_arrangement_is_made_of_it(make_song):
    grooves = grooves_of(stretches(make_song(bars=16), "game/song"))
    arrangement = arranged(np.random.default_rng(3), grooves, 0, 8.0)
    assert arrangement.drums
    assert {note.key for note in arrangement.drums} == {36}
    assert arrangement.bass
    assert arrangement.harmony.minor


def test_keys_and_chords_of_scales():
    c_major = np.zeros(12)
    c_major[[0, 4, 7]], c_major[[2, 5, 9, 11]] = 3, 1
    assert key_of(c_major) == (0, False)
    assert key_of(np.roll(c_major, 5)) == (5, False)
    bars = np.zeros((3, 12))
    bars[0, [7, 11, 2]] = 1  # G in C: the fifth degree
    bars[2, [9, 0, 4]] = 1
    assert degrees_of(bars, 0, False) == (4, 4, 5)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(folder.exists() for folder, _ in MIDI_FOLDERS.values()),
    reason="the games' music is not installed",
)
def test_the_games_give_arrangements_with_drums():
    patterns = midi_song_patterns()
    assert {pattern.name.split("/")[0] for pattern in patterns} == set(MIDI_FOLDERS)
    assert len(patterns) > 150
    with_bass = sum(any(32 <= program < 40 for program, _ in pattern.parts) for pattern in patterns)
    assert with_bass > 0.6 * len(patterns)
    assert all(len(pattern.harmony.degrees) == 16 for pattern in patterns)
    assert all(40 < pattern.harmony.tempo_bpm < 300 for pattern in patterns)
