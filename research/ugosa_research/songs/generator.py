"""Songs out of nothing: four stems from the sampler bank, without end and deterministic by seed.

Every song takes an accompaniment, a kit, a bass, several layers of other instruments and a singer, each with
its own sound, and then what real mixes have in common: levels, stretches of silence, dynamics that all stems
share, and a limiter on the sum. The stems add up to the mix by construction: the mix is their sum.
"""

from __future__ import annotations

import numpy as np

from ugosa_research.songs.arrangement import Part, arranged
from ugosa_research.songs.bank.notes import FAMILIES, family_of
from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray, SamplerBank
from ugosa_research.songs.bank.split import BankSplit
from ugosa_research.songs.composition import Harmony, Note, melody
from ugosa_research.songs.effects import Studio
from ugosa_research.songs.metal import harmony_of, metal_bass, metal_drums, metal_guitars, metal_score
from ugosa_research.songs.pedalboard_effects import (
    ducked,
    equalised,
    levelled,
    limited,
    saturated,
    shared_envelope,
    widened,
)
from ugosa_research.songs.sampler import play_drums, play_loop, play_notes
from ugosa_research.songs.singing import as_lyrics, random_style, sing

LEVELS_DB = {"drums": (-19.5, 3.0), "bass": (-20.5, 3.0), "other": (-19.5, 3.0), "vocals": (-19.5, 3.5)}
DRUM_LOOP_SHARE = 0.1
GUITAR_SHARE = 0.25
VOCAL_SHARE = 0.9
STOP_SHARE = 0.2
BODY_SHIFT = 3.0  # semitones, standard deviation
EQ_SPREAD_DB = 4.0  # a band's standard deviation
# Recorded bass and voices are brighter in a mix than the bank's; at the bands of effects.EQ_BANDS_HZ.
BASS_CURVE_DB = (0.0, -2.0, 3.0, 2.0, 0.0, 0.0, 0.0)
VOCAL_CURVE_DB = (-12.0, -3.0, 0.0, 4.0, 5.0, 3.0, 0.0)
ABSENT_SHARE = 0.12  # of songs in which a given stem rests for a stretch
FADE_S = 0.02


METAL_EVERY = 4  # every fourth training song
METAL_LEVELS_DB = {"drums": (-18.0, 2.5), "bass": (-21.0, 2.5), "other": (-20.0, 4.0), "vocals": (-20.0, 3.5)}
METAL_VOCAL_SHARE = 0.6


def training_song(
    bank: SamplerBank, split: BankSplit, seed: int, duration_s: float, studio: Studio | None = None
) -> FloatArray:
    """A song to train on: of the accompaniment styles, or metal, which they lack: [S, C, T].

    A studio treats the stems further before they are mixed. Validation keeps to `generate_song` without one,
    so that its figures stay comparable when training songs change.
    """
    metal = seed % METAL_EVERY == METAL_EVERY - 1
    return (metal_song if metal else generate_song)(bank, split, seed, duration_s, studio)


def metal_song(
    bank: SamplerBank, split: BankSplit, seed: int, duration_s: float, studio: Studio | None = None
) -> FloatArray:
    """One metal song's stems, [S, C, T]."""
    rng = np.random.default_rng(seed)
    n = int(duration_s * SAMPLE_RATE_HZ)
    score = metal_score(rng, duration_s)
    vocals = np.zeros((2, n), np.float32)
    if rng.random() < METAL_VOCAL_SHARE:
        vocals = _vocals(rng, bank, split, harmony_of(score, duration_s), n, duration_s)
        if rng.random() < 0.6:
            vocals = saturated(vocals, rng.uniform(4, 30))  # shouted
    stems = {
        "drums": metal_drums(rng, bank, split, score, n),
        "bass": metal_bass(rng, bank, split, score, n),
        "other": metal_guitars(rng, score, n),
        "vocals": vocals,
    }
    for name, (mean_db, spread_db) in METAL_LEVELS_DB.items():
        stems[name] = levelled(_treated(studio, name, stems[name]), rng.normal(mean_db, spread_db))
    song = np.stack([stems[name] for name in STEMS])  # [S, C, T]
    song *= shared_envelope(rng, n, rng.uniform(0, 1))
    for stem in range(len(STEMS)):
        if rng.random() < ABSENT_SHARE:
            _rest(rng, song[stem])
    return limited(song, rng.uniform(2, 10))


def generate_song(
    bank: SamplerBank, split: BankSplit, seed: int, duration_s: float, studio: Studio | None = None
) -> FloatArray:
    """One song's stems, [S, C, T] in the order of STEMS; the same seed gives the same samples."""
    rng = np.random.default_rng(seed)
    n = int(duration_s * SAMPLE_RATE_HZ)
    pattern = int(rng.choice(split.patterns))
    arrangement = arranged(rng, bank.grooves, pattern, duration_s)
    stems = {
        "drums": _drums(rng, bank, split, arrangement.drums, n),
        "bass": _bass(rng, bank, split, arrangement.bass, n),
        "other": _other(rng, bank, split, arrangement.other, n),
        "vocals": _vocals(rng, bank, split, arrangement.harmony, n, duration_s),
    }
    for name, (mean_db, spread_db) in LEVELS_DB.items():
        stems[name] = levelled(_treated(studio, name, stems[name]), rng.normal(mean_db, spread_db))
    if rng.random() < 0.5:
        for name in ("bass", "other"):
            stems[name] = ducked(stems[name], stems["drums"], rng.uniform(0, 0.6))
    song = np.stack([stems[name] for name in STEMS])  # [S, C, T]
    song *= shared_envelope(rng, n, rng.uniform(0, 3))
    for stem in range(len(STEMS)):
        if rng.random() < ABSENT_SHARE:
            _rest(rng, song[stem])
    if rng.random() < STOP_SHARE:  # the band stops, the singer may go on
        start = int(rng.integers(n))
        _silence(song[: int(rng.choice([3, 4]))], start, start + int(rng.uniform(0.2, 1.0) * SAMPLE_RATE_HZ))
    return limited(song, rng.uniform(0, 8))


def _treated(studio: Studio | None, name: str, stem: FloatArray) -> FloatArray:
    return stem if studio is None else studio.treated(name, stem)


def _drums(
    rng: np.random.Generator, bank: SamplerBank, split: BankSplit, notes: list[Note], n: int
) -> FloatArray:
    if split.drum_loops and rng.random() < DRUM_LOOP_SHARE:
        drums = play_loop(rng, bank.loops.audio, int(rng.choice(split.drum_loops)), n)
    else:
        drums = play_drums(rng, notes, n, bank.drums, int(rng.choice(split.kits)))
    if rng.random() < 0.4:
        drums = saturated(levelled(drums, -20), rng.uniform(1.5, 6))
    drums = equalised(rng, drums, EQ_SPREAD_DB, rng.uniform(0.2, 1.0), rng.choice([0.0, 0.05, 0.1, 0.2]))
    return widened(drums, rng.uniform(0.5, 1.3))


def _bass(
    rng: np.random.Generator, bank: SamplerBank, split: BankSplit, notes: list[Note], n: int
) -> FloatArray:
    instrument, body_shift = int(rng.choice(split.basses)), rng.normal(0, BODY_SHIFT)
    bass = play_notes(notes, n, bank.bass, instrument, 0.0, body_shift)
    if rng.random() < 0.4:
        bass = saturated(bass, rng.uniform(1.5, 8))
    return equalised(rng, bass, EQ_SPREAD_DB, curve_db=BASS_CURVE_DB)


def _other(
    rng: np.random.Generator, bank: SamplerBank, split: BankSplit, parts: list[Part], n: int
) -> FloatArray:
    """Every part with a sound of its own, and at times a real guitar."""
    other = np.zeros((2, n), np.float32)
    for part in parts:
        instrument = _instrument(rng, bank, split, part.program)
        pan, body_shift = rng.uniform(-0.8, 0.8), rng.normal(0, BODY_SHIFT)
        sound = play_notes(part.notes, n, bank.other, instrument, pan, body_shift)
        distorted = family_of(part.program) == "distorted" or rng.random() < 0.2
        if distorted:
            sound = saturated(sound, rng.uniform(5, 30))
        sound = equalised(rng, sound, EQ_SPREAD_DB, rng.uniform(0.3, 2.0), rng.choice([0.0, 0.05, 0.15, 0.3]))
        other += levelled(sound, rng.normal(-20, 3.5))
    if split.guitar_loops and rng.random() < GUITAR_SHARE:
        guitar = play_loop(rng, bank.loops.audio, int(rng.choice(split.guitar_loops)), n)
        guitar[1] = np.roll(guitar[1], int(rng.uniform(0, 0.02) * SAMPLE_RATE_HZ))  # double tracking
        guitar = equalised(rng, guitar, EQ_SPREAD_DB, rng.uniform(0.2, 1.0), 0.05)
        other = levelled(guitar, -18) + other * rng.choice([0.0, 0.3, 1.0])
    return other


def _instrument(rng: np.random.Generator, bank: SamplerBank, split: BankSplit, program: int) -> int:
    """An instrument of the program's family, or any."""
    family = family_of(program)
    related = [i for i in split.others if family and bank.other.programs[i] in FAMILIES[family]]
    return int(rng.choice(related if related and rng.random() < 0.65 else split.others))


def _vocals(
    rng: np.random.Generator, bank: SamplerBank, split: BankSplit, harmony: Harmony, n: int, duration_s: float
) -> FloatArray:
    if rng.random() > VOCAL_SHARE:
        return np.zeros((2, n), np.float32)
    voice = int(rng.choice(split.voices, p=split.voice_weights))
    f0_hz = np.median(bank.syllables.f0_hz[bank.syllables.voices == voice])
    middle = round(69 + 12 * np.log2(f0_hz / 440) + rng.normal(0, 2.5))
    notes = [note for note in melody(rng, harmony, middle - 7, middle + 7) if note.start_s < duration_s - 0.3]
    lyrics = as_lyrics(rng, notes)
    style = random_style(rng)
    lead = sing(rng, lyrics, n, bank.syllables, voice, style)
    vocals = equalised(rng, np.stack([lead, lead]), 2.0)
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):  # doubles and harmonies, to the sides
        interval = rng.choice([0, 0, 0, 3, 4, -5, 12, -12])
        second = [
            Note(max(0.02, note.start_s + rng.normal(0, 0.018)), note.end_s, note.key + interval)
            for note in lyrics
        ]
        sound = sing(rng, second, n, bank.syllables, voice, style)
        pan = rng.uniform(-0.8, 0.8)
        gain = 10 ** (rng.normal(-7, 2) / 20)
        vocals += np.stack([sound * np.sqrt(1 - pan), sound * np.sqrt(1 + pan)]) * np.float32(gain)
    if rng.random() < 0.2:
        vocals = saturated(vocals, rng.uniform(1.5, 6))
    wet = rng.choice([0.04, 0.1, 0.2])
    return equalised(rng, vocals, EQ_SPREAD_DB, rng.uniform(0.5, 2.2), wet, VOCAL_CURVE_DB)


def _rest(rng: np.random.Generator, stem: FloatArray) -> None:
    """Silence a random stretch of a stem: [C, T] in place."""
    n = stem.shape[1]
    start, end = np.sort(rng.integers(-n // 4, n + n // 4, 2))
    _silence(stem, int(start), int(end))


def _silence(audio: FloatArray, start: int, end: int) -> None:
    """Silence samples [start, end) with short fades outside: [..., T] in place."""
    samples = np.arange(audio.shape[-1], dtype=np.float32)
    outside = np.maximum(start - samples, samples - end) / np.float32(FADE_S * SAMPLE_RATE_HZ)
    audio *= np.clip(outside, 0, 1)
