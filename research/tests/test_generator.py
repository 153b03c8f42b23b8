"""Generated songs: the same seed gives the same samples, and the sum of the stems is the mix."""

import numpy as np
import pytest

from research.tests.helpers.tiny_bank import SYLLABLE_HZ, tiny_bank
from ugosa_research.songs import metal
from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ
from ugosa_research.songs.bank.split import training_split, validation_split
from ugosa_research.songs.composition import Note, melody, random_harmony
from ugosa_research.songs.generator import generate_song, metal_song
from ugosa_research.songs.metal import plucked
from ugosa_research.songs.pedalboard_effects import equalised, levelled, limited
from ugosa_research.songs.pitch_marks import pitch_marks, pitch_track_hz
from ugosa_research.songs.singing import SingingStyle, sing
from ugosa_research.training.augment import AugmentOptions, growling, make_batch, tilted

PLAIN_STYLE = SingingStyle(
    portamento_s=0.01,
    scoop_share=0,
    fall_share=0,
    vibrato_depth=0,
    vibrato_rate_hz=5,
    drift=0,
    formant=1.0,
    vocabulary=4,
    dynamics_db=0,
    dip=0,
)


@pytest.fixture(scope="module")
def bank():
    return tiny_bank()


def test_the_same_seed_gives_the_same_song(bank):
    split = training_split(bank)
    first, again, other = (generate_song(bank, split, seed, 3.0) for seed in (5, 5, 6))
    assert first.shape == (4, 2, 3 * SAMPLE_RATE_HZ)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_songs_sound_are_finite_and_do_not_clip(bank):
    for split in (training_split(bank), validation_split(bank)):
        for seed in range(4):
            song = generate_song(bank, split, seed, 3.0)
            assert np.isfinite(song).all()
            assert 0.05 < np.abs(song.sum(axis=0)).max() < 1.0


def test_one_gain_limits_all_stems_so_they_still_sum():
    rng = np.random.default_rng(0)
    stems = rng.standard_normal((4, 2, 20000)).astype(np.float32)
    louder = limited(stems, 6.0)
    mix, limited_mix = stems.sum(axis=0), louder.sum(axis=0)
    assert np.abs(limited_mix).max() < 1.0
    gain = limited_mix / mix
    np.testing.assert_allclose(louder, stems * gain, rtol=1e-2, atol=1e-4)


def test_a_batch_depends_on_seed_and_step_alone():
    songs = np.random.default_rng(1).standard_normal((6, 4, 2, 8000)).astype(np.float32)

    def read(song, stems, start, length):
        return songs[song, stems, :, start : start + length].copy()

    def batch(seed, step):
        return make_batch(seed, step, range(6), 8000 / SAMPLE_RATE_HZ, 3, 0.1, read, AugmentOptions()).stems

    np.testing.assert_array_equal(batch(1, 7), batch(1, 7))
    assert not np.array_equal(batch(1, 7), batch(1, 8))
    assert batch(1, 7).shape == (3, 4, 2, 4410)
    mix_rms = np.sqrt((batch(1, 7).sum(axis=1) ** 2).mean(axis=(1, 2)))
    np.testing.assert_allclose(mix_rms, 1.0, rtol=1e-3)


def test_the_same_seed_gives_the_same_metal(bank):
    split = training_split(bank)
    first, again, other = (metal_song(bank, split, seed, 3.0) for seed in (5, 5, 6))
    assert first.shape == (4, 2, 3 * SAMPLE_RATE_HZ)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    for song in (first, other):
        assert np.isfinite(song).all()
        assert 0.05 < np.abs(song.sum(axis=0)).max() < 1.0


def test_a_metal_beat_hits_the_snare_where_its_name_says():
    bar_s = 2.0
    hits = metal._drum_bar(np.random.default_rng(0), "half time", 0.0, bar_s, crash=True, fill=False)
    assert [hit.start_s for hit in hits if hit.key == metal.SNARE] == [bar_s / 2]
    assert [hit.start_s for hit in hits if hit.key == metal.CRASH][-1] == 0.0


def test_a_plucked_string_sounds_at_its_pitch_and_dies_away():
    sound = plucked(np.random.default_rng(0), 110.0, 1.0, 0.3)
    f0_hz = pitch_track_hz(sound)
    assert np.median(f0_hz[f0_hz > 0]) == pytest.approx(110.0, rel=0.01)
    first, last = np.split(sound[: SAMPLE_RATE_HZ // 2 * 2], 2)
    assert np.sqrt(np.mean(last**2)) < 0.3 * np.sqrt(np.mean(first**2))


def test_the_voice_sings_the_notes(bank):
    notes = [Note(0.1, 0.9, 57), Note(1.0, 1.8, 62)]
    rng = np.random.default_rng(0)
    audio = sing(rng, notes, 2 * SAMPLE_RATE_HZ, bank.syllables, 0, PLAIN_STYLE)
    for note in notes:
        middle = slice(int((note.start_s + 0.3) * SAMPLE_RATE_HZ), int((note.end_s - 0.1) * SAMPLE_RATE_HZ))
        f0_hz = pitch_track_hz(audio[middle])
        expected_hz = 440 * 2 ** ((note.key - 69) / 12)
        assert np.median(f0_hz) == pytest.approx(expected_hz, rel=0.02)


def test_pitch_marks_fall_once_a_period(bank):
    audio = bank.syllables.audio.clip(0)
    f0_hz = pitch_track_hz(audio)
    assert np.median(f0_hz[f0_hz > 0]) == pytest.approx(SYLLABLE_HZ, rel=0.01)
    periods = np.diff(pitch_marks(audio, f0_hz))
    assert np.abs(periods - SAMPLE_RATE_HZ / SYLLABLE_HZ).max() <= 2


def test_a_melody_stays_on_the_scale_and_in_range():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        harmony = random_harmony(rng, 8)
        scale = (0, 2, 3, 5, 7, 8, 10) if harmony.minor else (0, 2, 4, 5, 7, 9, 11)
        for note in melody(rng, harmony, 55, 69):
            assert 55 <= note.key <= 69
            assert (note.key - harmony.tonic) % 12 in scale
            assert note.end_s > note.start_s >= 0


def test_level_and_tilt_do_what_they_say():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, SAMPLE_RATE_HZ)).astype(np.float32)
    assert 20 * np.log10(np.sqrt(np.mean(levelled(noise, -20) ** 2))) == pytest.approx(-20, abs=0.1)
    assert not levelled(np.zeros_like(noise), -20).any()
    before, after = (np.abs(np.fft.rfft(x[0])) for x in (noise, tilted(noise, 6.0)))
    gain_db = 20 * np.log10(after / before)
    assert gain_db[50:100].mean() == pytest.approx(0, abs=0.1)
    assert gain_db[-2000:].mean() == pytest.approx(6, abs=0.1)


def test_no_room_and_no_spread_leave_the_sound_alone():
    noise = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    np.testing.assert_allclose(equalised(np.random.default_rng(1), noise, 0.0), noise, atol=1e-5)


def test_growling_bass_keeps_power_and_gains_midrange():
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    bass = np.stack([np.sin(2 * np.pi * 55 * time_s), np.sin(2 * np.pi * 55 * time_s)]).astype(np.float32)
    for seed in range(5):
        growl = growling(np.random.default_rng(seed), bass)
        assert np.mean(growl**2) == pytest.approx(np.mean(bass**2), rel=1e-3)
        power = np.abs(np.fft.rfft(growl[0])) ** 2  # a bin a hertz
        assert power[250:1500].sum() > 0.01 * power.sum()  # the sine has nothing there
    silence = np.zeros((2, 100), np.float32)
    assert not growling(np.random.default_rng(0), silence).any()
