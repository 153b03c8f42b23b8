"""Arrangement: an accompaniment of the bank, cut, transposed and thickened into the parts of a song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ugosa_research.songs.bank.pools import TICKS_PER_BEAT, Grooves
from ugosa_research.songs.composition import Harmony, Note

PLAIN_BASS_SHARE = 0.25
STACCATO_SHARE = 0.4  # of bass lines
MOST_ACCOMPANIMENT_PARTS = 5
DISTORTED_KEYS = (4, 11, 16)  # a power chord above the octave below


@dataclass(frozen=True)
class Part:
    """One melodic part."""

    program: int
    """General MIDI program that it was written for."""
    notes: list[Note]


@dataclass(frozen=True)
class Arrangement:
    """All parts but the voice, and the harmony that it follows."""

    harmony: Harmony
    drums: list[Note]
    """Keys of the General MIDI drum map."""
    bass: list[Note]
    other: list[Part]


def arranged(rng: np.random.Generator, grooves: Grooves, pattern: int, duration_s: float) -> Arrangement:
    """Cut `duration_s` out of a pattern at a new tempo and key, and lay 0 to 3 more parts on its chords."""
    tempo_bpm = float(grooves.tempi_bpm[pattern]) * rng.uniform(0.85, 1.18)
    shift = int(rng.integers(-5, 7))
    degrees = tuple(int(degree) for degree in grooves.degrees[pattern])
    harmony = Harmony(
        (int(grooves.keys[pattern]) + shift) % 12, bool(grooves.minor[pattern]), tempo_bpm, degrees
    )
    first_bar = int(rng.integers(max(1, int(len(degrees) - duration_s / harmony.bar_s))))
    tick_s = 60 / tempo_bpm / TICKS_PER_BEAT
    drums: list[Note] = []
    bass: list[Note] = []
    other: list[Part] = []
    for _, program, first, count in grooves.parts[grooves.parts[:, 0] == pattern]:
        events = grooves.events[first : first + count]
        starts_s = events[:, 0] * tick_s - first_bar * harmony.bar_s
        inside = (starts_s >= 0) & (starts_s < duration_s)
        transposed = 0 if program < 0 else shift
        notes = [
            Note(start_s, start_s + ticks * tick_s, key + transposed, velocity)
            for start_s, (_, ticks, key, velocity) in zip(starts_s[inside], events[inside], strict=True)
        ]
        if program < 0:
            drums += notes
        elif 32 <= program < 40:
            bass += notes
        elif notes:
            other.append(Part(int(program), notes))
    harmony = Harmony(harmony.tonic, harmony.minor, tempo_bpm, degrees[first_bar:] + degrees[:first_bar])
    if not bass or rng.random() < PLAIN_BASS_SHARE:
        bass = _root_bass(rng, harmony, duration_s)
    if rng.random() < STACCATO_SHARE:
        share = rng.uniform(0.3, 0.8)
        bass = [Note(b.start_s, b.start_s + share * (b.end_s - b.start_s), b.key, b.velocity) for b in bass]
    chosen = [other[i] for i in rng.permutation(len(other))[:MOST_ACCOMPANIMENT_PARTS]]
    chosen += [_layer(rng, harmony, duration_s) for _ in range(int(rng.choice([0, 1, 2, 2, 3])))]
    return Arrangement(harmony, drums, bass, chosen)


def _root_bass(rng: np.random.Generator, harmony: Harmony, duration_s: float) -> list[Note]:
    """A plain bass on the roots, in one random rhythm, as rock and dance music have it."""
    steps_a_bar = int(rng.choice([2, 4, 8, 8, 16]))
    step_s = harmony.bar_s / steps_a_bar
    played = rng.random(steps_a_bar) < rng.choice([0.6, 0.85, 1.0])
    played[0] = True
    held = rng.uniform(0.5, 1.0)
    notes = []
    for bar in range(min(len(harmony.degrees), int(np.ceil(duration_s / harmony.bar_s)))):
        root, _, fifth = harmony.chord_keys(bar)
        for step in np.flatnonzero(played):
            key = 28 + (fifth - 28) % 12 if rng.random() < 0.08 else 28 + (root - 28) % 12
            start_s = bar * harmony.bar_s + step * step_s
            notes.append(Note(start_s, start_s + held * step_s, key, float(rng.integers(85, 116))))
    return notes


def _layer(rng: np.random.Generator, harmony: Harmony, duration_s: float) -> Part:
    """A pad, power chords, an arpeggio or stabs on the chords."""
    kind = rng.choice(["pad", "power", "power", "arpeggio", "stabs"])
    beat_s = harmony.bar_s / 4
    notes: list[Note] = []
    n_bars = min(len(harmony.degrees), int(np.ceil(duration_s / harmony.bar_s)))
    for bar in range(n_bars):
        start_s = bar * harmony.bar_s
        chord = harmony.chord_keys(bar)
        if kind == "pad":
            octave = rng.choice([48, 60])
            notes += [Note(start_s, start_s + 0.98 * harmony.bar_s, octave + key, 80) for key in chord]
        elif kind == "power":
            for eighth in range(8):
                if (bar * 7 + eighth * 5) % 4 or rng.random() < 0.6:
                    hit_s = max(0.0, start_s + eighth * beat_s / 2 + rng.normal(0, 0.004))
                    notes += [
                        Note(hit_s, hit_s + 0.45 * beat_s, 36 + chord[0] + key, float(rng.integers(80, 116)))
                        for key in DISTORTED_KEYS
                    ]
        elif kind == "arpeggio":
            for sixteenth in range(16):
                hit_s = start_s + sixteenth * beat_s / 4
                key = 60 + chord[(2 * sixteenth) % 3] + 12 * ((sixteenth // 3) % 2)
                notes.append(Note(hit_s, hit_s + 0.22 * beat_s, key, float(rng.integers(60, 101))))
        else:
            for beat in (0, 1.5, 3):
                hit_s = start_s + beat * beat_s
                notes += [Note(hit_s, hit_s + 0.3 * beat_s, 55 + key) for key in chord]
    program = {
        "pad": (48, 50, 51, 89, 90),
        "power": (29, 30, 27),
        "arpeggio": (4, 5, 11, 26, 81),
        "stabs": (61, 62, 16, 0),
    }[str(kind)]
    return Part(int(rng.choice(program)), notes)
