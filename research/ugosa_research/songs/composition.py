"""Chords and tunes: random diatonic progressions and a phrase-wise melody over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ugosa_research.songs.bank.pools import BEATS_PER_BAR

SCALES = {False: (0, 2, 4, 5, 7, 9, 11), True: (0, 2, 3, 5, 7, 8, 10)}  # semitones; True: minor
TRIADS = {False: ("", "m", "m", "", "", "m", "dim"), True: ("m", "dim", "", "m", "m", "", "")}
PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
PROGRESSIONS = {  # scale degrees, 0 the tonic
    False: ("0453", "0534", "5304", "0343", "045230", "1400", "3425", "00330043", "5434", "0234"),
    True: ("0526", "0344", "0654", "0534", "0362", "0056", "5600", "0263", "0656"),
}
RHYTHMS_BEATS: tuple[tuple[float, ...], ...] = (
    (1, 1, 0.5, 0.5, 1),
    (0.5, 0.5, 1, 0.5, 0.5, 1),
    (1.5, 0.5, 1, 1),
    (2, 1, 1),
    (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1),
    (0.75, 0.75, 0.5, 2),
    (0.25, 0.25, 0.5, 0.5, 0.5, 1, 1),
    (3, 1),
    (0.5, 1, 0.5, 1, 1),
    (4,),
)
STEPS = (-3, -2, -1, -1, 0, 0, 1, 1, 2, 3)  # of the scale


@dataclass(frozen=True)
class Note:
    """One note of a part."""

    start_s: float
    end_s: float
    key: float
    """MIDI key; fractional where a voice bends it."""
    velocity: float = 100.0


@dataclass(frozen=True)
class Harmony:
    """Key, tempo and one chord a bar."""

    tonic: int
    """Pitch class, 0 is C."""
    minor: bool
    tempo_bpm: float
    degrees: tuple[int, ...]
    """Scale degree of each bar's chord."""

    @property
    def bar_s(self) -> float:
        """Length of a bar."""
        return 60 * BEATS_PER_BAR / self.tempo_bpm

    def chord_keys(self, bar: int) -> tuple[int, ...]:
        """Pitch classes of the triad of a bar."""
        scale = SCALES[self.minor]
        return tuple((self.tonic + scale[(self.degrees[bar] + third) % 7]) % 12 for third in (0, 2, 4))


def random_harmony(rng: np.random.Generator, n_bars: int) -> Harmony:
    """A key, a tempo, and two progressions in AABB form."""
    minor = bool(rng.random() < 0.5)
    low, high = ((66, 100), (90, 132), (110, 170))[rng.integers(3)]
    parts = [[int(degree) for degree in rng.choice(PROGRESSIONS[minor])] for _ in "AB"]
    degrees: list[int] = []
    while len(degrees) < n_bars:
        degrees += parts[0] * 2 + parts[1] * 2
    return Harmony(int(rng.integers(12)), minor, float(rng.uniform(low, high)), tuple(degrees[:n_bars]))


def chord_symbols(rng: np.random.Generator, harmony: Harmony) -> list[str]:
    """Chord names of the bars, in some songs with sevenths."""
    sevenths = rng.random() < 0.35
    symbols = []
    for degree in harmony.degrees:
        quality = TRIADS[harmony.minor][degree]
        if sevenths and quality == "m" and rng.random() < 0.6:
            quality = "m7"
        root = PITCH_CLASSES[(harmony.tonic + SCALES[harmony.minor][degree]) % 12]
        symbols.append(root + quality)
    return symbols


def melody(rng: np.random.Generator, harmony: Harmony, lowest: int, highest: int) -> list[Note]:
    """A random walk on the scale in bars, with chord tones on long notes and returning motifs."""
    scale = [key for key in range(lowest, highest + 1) if (key - harmony.tonic) % 12 in SCALES[harmony.minor]]
    beat_s = harmony.bar_s / BEATS_PER_BAR
    density = rng.choice([0.6, 0.8, 0.95])
    motifs: dict[int, tuple[tuple[float, ...], list[int]]] = {}
    notes: list[Note] = []
    place = len(scale) // 2
    for bar in range(len(harmony.degrees)):
        if bar % 4 not in motifs or rng.random() < 0.3:
            rhythm = RHYTHMS_BEATS[rng.integers(len(RHYTHMS_BEATS))]
            motifs[bar % 4] = (rhythm, [int(step) for step in rng.choice(STEPS, len(rhythm))])
        rhythm, steps = motifs[bar % 4]
        if bar % 4 == 3 and rng.random() < 0.5:
            rhythm = rhythm[: max(1, len(rhythm) // 2)]  # breathe at the end of the phrase
        if rng.random() > density:
            continue
        time_s, chord = bar * harmony.bar_s, harmony.chord_keys(bar)
        for beats, step in zip(rhythm, steps, strict=False):
            place = min(max(place + step, 0), len(scale) - 1)
            if beats >= 1.5 or time_s == bar * harmony.bar_s:
                place = min(range(len(scale)), key=lambda p: (scale[p] % 12 not in chord, abs(p - place)))
            length_s = beats * beat_s * rng.choice([1, 1, 0.97, 0.8])
            start_s = max(0.02, time_s + rng.normal(0, 0.008))
            notes.append(Note(start_s, start_s + length_s, scale[place]))
            time_s += beats * beat_s
    return notes
