"""Takes to render: score, part of it, players, soundfont, room.

A take is a function of the seed, the split and its number alone, so an interrupted rendering goes on where it
stopped, and any one take can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from ugosa_research.songs.ensembles.instruments import INSTRUMENTS, Instrument
from ugosa_research.songs.ensembles.performance import SEMITONES_IN_OCTAVE, Tempo, in_range, perform
from ugosa_research.songs.ensembles.player import PLAYING_RATE_HZ, EnsemblePlayer, Room
from ugosa_research.songs.ensembles.scores import SOLO_TUNES, SPLITS, Score, ScoreNote

TUNE_SHARE = 0.3  # of training takes: fast melodies, which chorales lack
SORTED_SHARE = 0.8  # of takes in which the highest part goes to the highest instrument
DOUBLED_SHARE = 0.3  # of test trios and quartets in which two parts are of one instrument, as in URMP
LEVEL_DBFS = -24.0  # RMS of a part over the take, before its own balance
HIGHEST_PEAK = 0.9
LEAST_NOTES = 4

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Take:
    """One rendering of a stretch of a score."""

    name: str
    """Unique within the split."""
    score: str
    """Name of the score."""
    first: float
    """Where the stretch begins, in quarter notes."""
    bpm: float
    transposition: int
    """Semitones, of all parts alike, before octaves."""
    parts: tuple[int, ...]
    """Which parts of the score are played."""
    instruments: tuple[Instrument, ...]
    """Instruments that play them."""
    soundfonts: tuple[int, ...]
    """On which soundfont, as an index into those of the set, a part each."""
    room: Room
    seed: tuple[int, int, int]
    """Seed of the performance."""


def plan_take(seed: int, split: str, number: int, scores: Sequence[Score], n_soundfonts: int) -> Take:
    """Choose everything about a take of a split from its scores."""
    key = (seed, SPLITS.index(split), number)
    rng = np.random.default_rng(key)
    tunes = [score for score in scores if score.name.startswith(SOLO_TUNES)]
    pieces = [score for score in scores if not score.name.startswith(SOLO_TUNES)]
    if split != "test" and tunes and rng.random() < TUNE_SHARE:
        score = tunes[int(rng.integers(len(tunes)))]
    else:
        score = pieces[int(rng.integers(len(pieces)))]
    n_parts = len(score.parts)
    if split == "test":  # URMP has 12 duets, 20 trios and 8 quartets
        n_parts = min(n_parts, int(rng.choice([2, 3, 4], p=(0.3, 0.5, 0.2))))
    parts = tuple(sorted(int(part) for part in rng.choice(len(score.parts), n_parts, replace=False)))
    players = [INSTRUMENTS[i] for i in rng.choice(len(INSTRUMENTS), n_parts, replace=False)]
    if rng.random() < SORTED_SHARE:
        players.sort(key=lambda player: -(player.lowest_key + player.highest_key))
    if split == "test" and n_parts > 2 and rng.random() < DOUBLED_SHARE:
        players[1] = players[0]
    bpm = float(rng.uniform(95, 180) if score.name.startswith(SOLO_TUNES) else rng.uniform(60, 125))
    reverberant = rng.random() > 0.2
    room = Room(
        float(rng.uniform(0.2, 0.85)),
        float(rng.uniform(0, 0.8)),
        float(rng.uniform(0.05, 0.45)) if reverberant else 0.0,
    )
    return Take(
        name=f"{number:05d}",
        score=score.name,
        first=float(4 * rng.integers(max(1, int(score.length / 4) - 8))),
        bpm=bpm,
        transposition=int(rng.integers(-6, 7)),
        parts=parts,
        instruments=tuple(players),
        soundfonts=tuple(int(font) for font in rng.integers(n_soundfonts, size=n_parts)),
        room=room,
        seed=key,
    )


def render_take(
    take: Take,
    score: Score,
    soundfonts: Sequence[Path],
    player: EnsemblePlayer,
    duration_s: float,
    sample_rate_hz: int,
) -> list[FloatArray | None]:
    """Audio of each part of a take, [T]; None for one that has too little to play there."""
    rng = np.random.default_rng((*take.seed, 1))
    last = take.first + duration_s / 60 * take.bpm * 1.1
    tempo = Tempo(rng, take.bpm, take.first, last)
    rendered: list[FloatArray | None] = []
    for part, instrument, font in zip(take.parts, take.instruments, take.soundfonts, strict=True):
        notes: list[ScoreNote] = [
            note
            for note in score.parts[part]
            if take.first <= note.start and tempo.seconds(note.start + note.duration) < duration_s - 0.5
        ]
        program = int(rng.choice(instrument.programs))
        octave = SEMITONES_IN_OCTAVE * int(rng.integers(-1, 2)) if rng.random() < 0.2 else 0
        if len(notes) < LEAST_NOTES:
            rendered.append(None)
            continue
        written = np.array([note.key for note in notes], np.int64) + take.transposition
        keys = in_range(written, instrument)
        moved = keys + octave
        if moved.min() >= instrument.lowest_key and moved.max() <= instrument.highest_key:
            keys = moved
        events = perform(rng, notes, keys, instrument, tempo)
        audio = player.play(soundfonts[font], program, events, take.room, duration_s)
        audio = soxr.resample(audio, PLAYING_RATE_HZ, sample_rate_hz).astype(np.float32)
        balance_db = float(np.clip(rng.normal(0, 3), -6, 6))
        rms = float(np.sqrt(np.mean(audio**2))) + 1e-9
        rendered.append(audio * np.float32(10 ** ((LEVEL_DBFS + balance_db) / 20) / rms))
    peak = float(np.abs(np.sum([audio for audio in rendered if audio is not None], axis=0)).max()) or 1.0
    peak = max([peak, *(float(np.abs(audio).max()) for audio in rendered if audio is not None)])
    scale = np.float32(min(1.0, HIGHEST_PEAK / peak))
    return [None if audio is None else audio * scale for audio in rendered]
