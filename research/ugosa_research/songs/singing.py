"""Make recorded syllables sing a tune: a human pitch contour, then TD-PSOLA on the syllables' pitch marks.

Time-domain pitch-synchronous overlap-add (Moulines and Charpentier, 1990): two-period grains around the
recorded pitch marks are laid out again at the periods of the wanted contour; resampling a grain moves the
formants.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray, Syllables
from ugosa_research.songs.bank.words import PREFIX as WORDS_PREFIX
from ugosa_research.songs.composition import Note

CONTOUR_HOP_SAMPLES = 64
VIBRATO_DELAY_S, VIBRATO_RISE_S = 0.18, 0.25
SHORTEST_VIBRATO_NOTE_S = 0.35
RELEASE_S = 0.05
UNVOICED_GRAIN_SAMPLES = 220
SHORTEST_PERIOD, LONGEST_PERIOD = 40, 700
CLOSING_SHARE = 0.35  # of a word after its consonants: its end, which is never looped


@dataclass(frozen=True)
class SingingStyle:
    """Style of one singer in one song."""

    portamento_s: float
    scoop_share: float
    """Share of notes that begin off their pitch."""
    fall_share: float
    """Share of notes that end off their pitch."""
    vibrato_depth: float
    """Semitones."""
    vibrato_rate_hz: float
    drift: float
    """Slow wandering, semitones."""
    formant: float
    """Factor on all formants; above 1 is a smaller head."""
    vocabulary: int
    """Different syllables in the song."""
    dynamics_db: float
    """Spread of the loudness of syllables."""
    dip: float
    """Drop of the level between syllables, 0 to 1."""


def random_style(rng: np.random.Generator) -> SingingStyle:
    """Draw a singer's manner."""
    return SingingStyle(
        portamento_s=rng.uniform(0.02, 0.1),
        scoop_share=rng.uniform(0.15, 0.7),
        fall_share=rng.uniform(0, 0.5),
        vibrato_depth=rng.uniform(0.05, 0.9),
        vibrato_rate_hz=rng.uniform(4.6, 6.6),
        drift=rng.uniform(0.12, 0.4),
        formant=float(np.exp(rng.normal(0, 0.14))),
        vocabulary=int(rng.choice([14, 30, 80])),
        dynamics_db=rng.uniform(1.5, 5),
        dip=rng.uniform(0.1, 0.95),
    )


def as_lyrics(rng: np.random.Generator, notes: list[Note]) -> list[Note]:
    """Split long notes into syllables, as words do, sometimes with a step to a neighbour."""
    split_share = rng.uniform(0.3, 0.95)
    lyrics: list[Note] = []
    for note in notes:
        length_s = note.end_s - note.start_s
        if length_s < 0.36 or rng.random() > split_share:
            lyrics.append(note)
            continue
        count = 2 if length_s < 0.8 else int(rng.integers(2, 5))
        inner = (np.arange(1, count) + rng.uniform(-0.1, 0.1, count - 1)) / count
        cuts = note.start_s + length_s * np.concatenate([[0.0], inner, [1.0]])
        for start_s, end_s in pairwise(cuts):
            step = 0 if rng.random() < 0.75 else rng.choice([-2, -1, 1, 2, 3])
            lyrics.append(Note(float(start_s), float(end_s), note.key + step))
    return lyrics


def pitch_contour(
    rng: np.random.Generator, notes: list[Note], n_samples: int, style: SingingStyle
) -> NDArray[np.float64]:
    """MIDI pitch every 64 samples: glides between notes, scoops, falls, vibrato and drift."""
    hop_s = CONTOUR_HOP_SAMPLES / SAMPLE_RATE_HZ
    n = n_samples // CONTOUR_HOP_SAMPLES + 2
    pitch = np.full(n, np.nan)
    for note in notes:
        pitch[int(note.start_s / hop_s) : int(note.end_s / hop_s) + 1] = note.key
    known = np.flatnonzero(~np.isnan(pitch))
    pitch = np.interp(np.arange(n), known, pitch[known])
    glide = max(3, int(style.portamento_s / hop_s))
    pitch = uniform_filter1d(uniform_filter1d(pitch, glide), glide)
    for note in notes:
        first, last = int(note.start_s / hop_s), min(int(note.end_s / hop_s), n)
        if last <= first:
            continue
        if rng.random() < style.scoop_share:
            length = min(int(rng.uniform(0.06, 0.18) / hop_s), last - first)
            pitch[first : first + length] -= np.linspace(rng.uniform(-1, 3), 0, length)
        if rng.random() < style.fall_share:
            length = min(int(rng.uniform(0.06, 0.2) / hop_s), last - first)
            pitch[last - length : last] -= np.linspace(0, rng.uniform(-1, 3), length)
        if note.end_s - note.start_s > SHORTEST_VIBRATO_NOTE_S:
            since_s = np.arange(last - first) * hop_s
            depth = style.vibrato_depth * np.clip((since_s - VIBRATO_DELAY_S) / VIBRATO_RISE_S, 0, 1)
            pitch[first:last] += depth * np.sin(2 * np.pi * style.vibrato_rate_hz * since_s)
    drift = uniform_filter1d(rng.standard_normal(n), int(0.12 / hop_s))
    jitter = uniform_filter1d(rng.standard_normal(n), 5)
    wandering = drift * (style.drift / (drift.std() + 1e-9)) + 0.02 * jitter
    return np.asarray(pitch + wandering, np.float64)


def sing(
    rng: np.random.Generator,
    notes: list[Note],
    n_samples: int,
    bank: Syllables,
    voice: int,
    style: SingingStyle,
) -> FloatArray:
    """Sing `notes` with one voice of the bank: [T] mono."""
    out = np.zeros(n_samples + SAMPLE_RATE_HZ, np.float32)
    if not notes:
        return out[:n_samples]
    pitch = pitch_contour(rng, notes, n_samples, style)
    closes = bank.voice_names[voice].startswith(WORDS_PREFIX)
    vocabulary = rng.choice(np.flatnonzero(bank.voices == voice), style.vocabulary)
    for note in notes:
        syllable = int(rng.choice(vocabulary))
        start = int(note.start_s * SAMPLE_RATE_HZ) - int(bank.onsets[syllable])
        length = int((note.end_s - note.start_s + RELEASE_S) * SAMPLE_RATE_HZ) + int(bank.onsets[syllable])
        length = min(length, n_samples + SAMPLE_RATE_HZ // 2 - start)
        if start < 0 or start >= n_samples or length < 2 * LONGEST_PERIOD:
            continue
        sung = _sung_syllable(
            rng, bank, syllable, pitch[start // CONTOUR_HOP_SAMPLES :], length, style.formant, closes=closes
        )
        fade_in = min(int(0.07 * SAMPLE_RATE_HZ), length)
        sung[:fade_in] *= 1 - style.dip * np.linspace(1, 0, fade_in, dtype=np.float32) ** 2
        fade_out = min(int(RELEASE_S * SAMPLE_RATE_HZ), length)
        sung[-fade_out:] *= np.linspace(1, 0, fade_out, dtype=np.float32) ** 1.2
        sung *= np.linspace(1, rng.uniform(0.55, 1.2), length, dtype=np.float32)
        out[start : start + length] += sung * np.float32(10 ** (rng.normal(0, style.dynamics_db) / 20))
    return out[:n_samples]


def _sung_syllable(
    rng: np.random.Generator,
    bank: Syllables,
    syllable: int,
    pitch: NDArray[np.float64],
    length: int,
    formant: float,
    *,
    closes: bool,
) -> FloatArray:
    """One syllable at the wanted pitch, its vowel stretched to `length`; a word closes as it was spoken."""
    audio = bank.audio.clip(syllable)
    first_mark = int(bank.mark_starts[syllable])
    marks = bank.marks[first_mark : first_mark + int(bank.mark_counts[syllable])]
    periods = np.diff(marks, append=2 * marks[-1] - marks[-2])
    fixed = min(int(bank.vowel_starts[syllable]), length // 2)
    vowel = int(bank.vowel_starts[syllable])
    vowel_end = len(audio) if closes else len(audio) - int(0.04 * SAMPLE_RATE_HZ)
    available, needed = max(vowel_end - vowel, 800), length - fixed
    source = np.pad(audio, LONGEST_PERIOD)
    out = np.zeros(length + 4 * LONGEST_PERIOD, np.float32)
    time = 0.0
    while time < length:
        position, looping = _reading_position(time, fixed, vowel, available, needed, closes=closes)
        position = min(position, len(audio) - 1)
        nearest = int(np.argmin(np.abs(marks - position)))
        if abs(marks[nearest] - position) < 1.2 * periods[nearest]:
            if looping:  # vary the grain, or the loop would buzz
                nearest = int(np.clip(nearest + rng.integers(-1, 2), 0, len(marks) - 1))
            centre = int(marks[nearest])
            period = int(np.clip(periods[nearest], SHORTEST_PERIOD, LONGEST_PERIOD))
            place = min(int(time) // CONTOUR_HOP_SAMPLES, len(pitch) - 1)
            step = SAMPLE_RATE_HZ / (440 * 2 ** ((pitch[place] - 69) / 12))
        else:
            centre, period, step = int(position), UNVOICED_GRAIN_SAMPLES, float(UNVOICED_GRAIN_SAMPLES)
        centre += LONGEST_PERIOD
        grain = source[centre - period : centre + period]
        grain = np.pad(grain, (0, 2 * period - len(grain))) * _hann(2 * period)
        half = min(int(period / formant), LONGEST_PERIOD)
        if half != period:
            places = np.linspace(0, 2 * period - 1, 2 * half)
            grain = np.interp(places, np.arange(2 * period), grain).astype(np.float32)
        start = int(time) + LONGEST_PERIOD - half
        out[start : start + 2 * half] += grain * np.float32(min(1.0, (step / period) ** 0.5))
        time += step
    return out[LONGEST_PERIOD : LONGEST_PERIOD + length]


def _reading_position(
    time: float, fixed: int, vowel: int, available: int, needed: int, *, closes: bool
) -> tuple[float, bool]:
    """Where in the recording to read at output `time`, and whether in a loop.

    Straight, squeezed, or to and fro within the vowel; a word that `closes` then goes straight to its end.
    """
    if time < fixed:
        return time * vowel / max(fixed, 1), False
    since = time - fixed
    if needed <= 1.3 * available:
        return vowel + 0.98 * since * available / max(needed, 1), False
    until_end = needed - since
    if closes and until_end < CLOSING_SHARE * available:
        return vowel + available - until_end, False
    last, width = (0.25 * available, 0.2 * available) if closes else (0.6 * available, 0.55 * available)
    if since < last:
        return vowel + since, False
    return vowel + 0.05 * available + abs((since - last + width) % (2 * width) - width), True


@lru_cache(maxsize=2048)
def _hann(n: int) -> FloatArray:
    return np.hanning(n).astype(np.float32)
