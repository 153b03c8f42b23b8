"""Performance of a part: breathing tempo, notes never quite on time, dynamics, vibrato.

A rendering of the bare score would teach a network that all onsets of a chord fall on one sample and that a
note has one level; real ensembles do neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_research.songs.ensembles.instruments import Instrument
from ugosa_research.songs.ensembles.scores import ScoreNote

TEMPO_GRID = 0.25  # quarter notes
PHRASE = 8.0  # quarter notes
CONTROL_STEP_S = 0.04
EXPRESSION, MODULATION = 11, 1  # MIDI controllers
LONG_NOTE_S = 0.35  # from here on a note swells, and may have vibrato
SHORTEST_NOTE_S = 0.06
SEMITONES_IN_OCTAVE = 12
STYLES = (("legato", 1.02), ("portato", 0.85), ("detached", 0.6))


@dataclass(frozen=True)
class Event:
    """One MIDI message."""

    time_s: float
    kind: str
    """on, off, control or bend."""
    number: int
    """Key or controller; 0 for a bend."""
    value: int
    """Velocity, value, or bend in 1/8192 of two semitones."""


class Tempo:
    """Seconds of a position in quarter notes, the same for all players of a take."""

    def __init__(self, rng: np.random.Generator, bpm: float, first: float, last: float) -> None:
        """Lay a slow drift and slower phrase ends over a tempo, from quarter note `first` to `last`."""
        grid = np.arange(first, last + 2 * TEMPO_GRID, TEMPO_GRID)
        drift = 0.03 * np.sin(2 * np.pi * grid / rng.uniform(12, 40) + rng.uniform(0, 2 * np.pi))
        phrase_end = ((grid - first) % PHRASE) / PHRASE > 0.88
        rate = bpm / 60 * (1 + drift) * np.where(phrase_end, 1 - rng.uniform(0, 0.15), 1)
        self._grid = grid
        self._seconds = np.concatenate([[0.0], np.cumsum(TEMPO_GRID / rate)[:-1]])

    def seconds(self, position: float) -> float:
        """Time from the first position."""
        return float(np.interp(position, self._grid, self._seconds))


def in_range(keys: NDArray[np.int64], instrument: Instrument) -> NDArray[np.int64]:
    """Transpose a part by the octaves that suit the instrument best; what is still outside folds back."""
    shifts = np.arange(-4, 5) * SEMITONES_IN_OCTAVE
    moved = keys[None] + shifts[:, None]  # [shift, note]
    outside = ((moved < instrument.lowest_key) | (moved > instrument.highest_key)).sum(axis=1)
    middle = (instrument.lowest_key + instrument.highest_key) / 2
    best = np.lexsort((np.abs(moved.mean(axis=1) - middle), outside))[0]
    part = moved[best]
    part = np.where(part < instrument.lowest_key, part + SEMITONES_IN_OCTAVE, part)
    part = np.where(part > instrument.highest_key, part - SEMITONES_IN_OCTAVE, part)
    return np.asarray(np.clip(part, instrument.lowest_key, instrument.highest_key), np.int64)


def perform(
    rng: np.random.Generator,
    notes: Sequence[ScoreNote],
    keys: NDArray[np.int64],
    instrument: Instrument,
    tempo: Tempo,
) -> list[Event]:
    """One player's messages, in order of time.

    Args:
        rng: decides the player's habits and every note's chance.
        notes: of the part, within the tempo's span.
        keys: what each note sounds as.
        instrument: for vibrato.
        tempo: of the take.
    """
    events: list[Event] = []
    _, held = STYLES[int(rng.choice(len(STYLES), p=(0.5, 0.3, 0.2)))]
    looseness_s = rng.uniform(0.004, 0.018)
    habit_s = rng.normal(0, 0.008)
    loudness = rng.uniform(60, 100)
    detune_cents = rng.normal(0, 6)
    vibrato = rng.uniform(10, 70) if instrument.vibrato or rng.random() < 0.15 else 0.0
    free_s = 0.0
    for note, key in zip(notes, keys, strict=True):
        start_s = max(0.0, tempo.seconds(note.start) + habit_s + rng.normal(0, looseness_s))
        written_end_s = tempo.seconds(note.start + note.duration)
        share = held if rng.random() < 0.8 else rng.uniform(0.45, 1.02)
        end_s = start_s + max(SHORTEST_NOTE_S, share * (written_end_s - start_s))
        arc = np.sin(np.pi * ((note.start % PHRASE) / PHRASE))
        velocity = int(np.clip(loudness + 14 * (arc - 0.5) + rng.normal(0, 6), 20, 126))
        start_s = max(start_s, free_s - 0.03)
        bend = int(np.clip((detune_cents + rng.normal(0, 4)) / 200 * 8192, -8191, 8191))
        events.append(Event(start_s, "bend", 0, bend))
        events += _expression(rng, start_s, end_s, vibrato)
        events.append(Event(start_s, "on", int(key), velocity))
        events.append(Event(max(end_s, start_s + SHORTEST_NOTE_S), "off", int(key), 0))
        free_s = end_s
    order = {"off": 0, "bend": 1, "control": 2, "on": 3}
    return sorted(events, key=lambda event: (event.time_s, order[event.kind]))


def _expression(rng: np.random.Generator, start_s: float, end_s: float, vibrato: float) -> list[Event]:
    """Swell of a long note and the vibrato that grows with it; plain levels for a short one."""
    level = rng.uniform(100, 127)
    if end_s - start_s < LONG_NOTE_S:
        return [
            Event(start_s, "control", EXPRESSION, int(level)),
            Event(start_s, "control", MODULATION, 0),
        ]
    times = np.arange(0, end_s - start_s, CONTROL_STEP_S)
    place = times / (end_s - start_s)
    peak, depth = rng.uniform(0.15, 0.85), rng.uniform(0.05, 0.45)
    curve = level * (1 - depth * np.abs(place - peak) / max(peak, 1 - peak))
    width = vibrato * np.clip((times - 0.2) / 0.4, 0, 1)
    events = []
    for time, value, modulation in zip(times, curve, width, strict=True):
        events.append(Event(start_s + time, "control", EXPRESSION, int(value)))
        if vibrato:
            events.append(Event(start_s + time, "control", MODULATION, int(modulation)))
    return events
