"""Words are spoken, analysed, and sung so that their last consonants are heard at the end of long notes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from research.tests.helpers.tiny_bank import SYLLABLE_HZ, tiny_bank
from ugosa_research.songs.bank import words as bank_words
from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, Syllables, pool_of
from ugosa_research.songs.bank.split import training_split
from ugosa_research.songs.bank.voices import _spoken_take, analysed
from ugosa_research.songs.bank.words import PREFIX, speak_words
from ugosa_research.songs.composition import Note
from ugosa_research.songs.singing import SingingStyle, sing
from ugosa_server.errors import ConfigError

STYLE = SingingStyle(
    portamento_s=0.02,
    scoop_share=0,
    fall_share=0,
    vibrato_depth=0,
    vibrato_rate_hz=5,
    drift=0.01,
    formant=1.0,
    vocabulary=1,
    dynamics_db=0,
    dip=0,
)


def hissing_syllables():
    """The tiny bank's vowel with 60 ms of noise at its end."""
    syllables = tiny_bank().syllables
    clip = syllables.audio.clip(0).copy()
    hiss = int(0.06 * SAMPLE_RATE_HZ)
    clip[-hiss:] = 0.2 * np.random.default_rng(0).standard_normal(hiss)
    voiced = syllables.marks[: syllables.mark_counts[0]]
    voiced = voiced[voiced < len(clip) - hiss - SAMPLE_RATE_HZ / SYLLABLE_HZ]
    return Syllables(
        audio=pool_of([clip]),
        onsets=syllables.onsets[:1],
        vowel_starts=syllables.vowel_starts[:1],
        mark_starts=np.array([0]),
        mark_counts=np.array([len(voiced)]),
        marks=voiced,
        f0_hz=syllables.f0_hz[:1],
        voices=np.array([0]),
        voice_names=("a voice",),
    )


def highs(audio):
    return np.square(np.diff(audio, 2)).mean()


def test_held_word_closes_with_its_consonant_syllable_does_not():
    bank = hissing_syllables()
    note = [Note(0.2, 2.2, 57)]
    vowel = slice(int(1.0 * SAMPLE_RATE_HZ), int(1.8 * SAMPLE_RATE_HZ))
    end = slice(int(2.17 * SAMPLE_RATE_HZ), int(2.23 * SAMPLE_RATE_HZ))
    loudest = {}
    for name in ("a voice", PREFIX + "a voice"):
        named = replace(bank, voice_names=(name,))
        audio = sing(np.random.default_rng(1), note, 3 * SAMPLE_RATE_HZ, named, 0, STYLE)
        loudest[name] = highs(audio[end]) / highs(audio[vowel])
    assert loudest[PREFIX + "a voice"] > 5 * loudest["a voice"]


def test_words_count_as_spoken_voices():
    bank = tiny_bank()
    names = ("sung", PREFIX + "en")
    split = training_split(replace(bank, syllables=replace(bank.syllables, voice_names=names)))
    assert split.voices == (0, 1)
    assert split.voice_weights == pytest.approx([0.65, 0.35])


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_words_are_spoken_and_can_be_sung(tmp_path, monkeypatch):
    monkeypatch.setattr(bank_words, "WORDS", "night love strong heart")
    monkeypatch.setattr(bank_words, "VOICES", ("en-us", "en-us+f2"))
    spoken = speak_words(tmp_path)
    assert set(spoken) == {"words-en-us", "words-en-us+f2"}
    medians = []
    for files in spoken.values():
        found = [analysed(take) for file in files if (take := _spoken_take(file)) is not None]
        assert all(found)
        assert len(found) >= 3
        medians.append(np.median([syllable.f0_hz for syllable in found]))
    assert medians[1] > 1.2 * medians[0]  # the second is a woman's


def test_a_missing_speaker_is_told_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(bank_words, "ESPEAK", "no-such-speaker")
    with pytest.raises(ConfigError, match="words need no-such-speaker"):
        speak_words(tmp_path)
