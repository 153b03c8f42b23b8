"""Play parts from the bank: drums by kit and role, notes by instrument, loops by stem."""

from __future__ import annotations

import numpy as np

from ugosa_research.songs.bank.pools import (
    DRUM_ROLES,
    SAMPLE_RATE_HZ,
    AudioPool,
    DrumHits,
    FloatArray,
    PitchedNotes,
)
from ugosa_research.songs.composition import Note

# General MIDI drum keys; everything else is percussion.
ROLE_OF_KEY = {
    35: "kick",
    36: "kick",
    37: "stick",
    38: "snare",
    39: "clap",
    40: "snare",
    41: "low_tom",
    43: "low_tom",
    45: "mid_tom",
    47: "mid_tom",
    48: "high_tom",
    50: "high_tom",
    42: "closed_hat",
    44: "pedal_hat",
    46: "open_hat",
    49: "crash",
    57: "crash",
    52: "crash",
    55: "crash",
    51: "ride",
    59: "ride",
    53: "ride",
    56: "bell",
}
STAND_INS = {
    "mid_tom": "high_tom",
    "high_tom": "mid_tom",
    "low_tom": "mid_tom",
    "pedal_hat": "closed_hat",
    "open_hat": "closed_hat",
    "ride": "closed_hat",
    "crash": "open_hat",
    "stick": "snare",
    "clap": "snare",
    "bell": "ride",
    "percussion": "closed_hat",
}
CYMBALS = ("closed_hat", "open_hat", "pedal_hat", "ride", "crash", "percussion")
CYMBAL_DB = -11.0
TUNING_SPREAD = 0.12  # standard deviation of the logarithm of a kit's speed
CENTRED = ("kick", "snare")
RELEASE_S = 0.06


def play_drums(
    rng: np.random.Generator, notes: list[Note], n_samples: int, hits: DrumHits, kit: int
) -> FloatArray:
    """Every drum key keeps one hit, place and level through the song: [2, T]."""
    out = np.zeros((2, n_samples), np.float32)
    of_role = {
        role: np.flatnonzero((hits.kits == kit) & (hits.roles == number))
        for number, role in enumerate(DRUM_ROLES)
    }
    tuning = np.exp(rng.normal(0, TUNING_SPREAD))
    chosen: dict[int, tuple[FloatArray, float, float]] = {}
    for note in notes:
        key = int(note.key)
        if key not in chosen:
            role = ROLE_OF_KEY.get(key, "percussion")
            for _ in range(3):
                role = role if len(of_role[role]) else STAND_INS.get(role, role)
            if not len(of_role[role]):
                continue
            own_tuning = tuning * np.exp(rng.normal(0, TUNING_SPREAD / 2))
            hit = resampled(hits.audio.clip(int(rng.choice(of_role[role]))), own_tuning)
            pan = 0.0 if role in CENTRED else rng.uniform(-0.6, 0.6)
            level_db = rng.normal(CYMBAL_DB if role in CYMBALS else 0.0, 2.5)
            chosen[key] = (hit, pan, 10 ** (level_db / 20))
        hit, pan, gain = chosen[key]
        start_s = max(0.0, note.start_s + rng.normal(0, 0.003))
        mix_at(out, hit, start_s, pan, gain * (note.velocity / 127) ** 1.5)
    return out


def play_notes(
    notes: list[Note],
    n_samples: int,
    bank: PitchedNotes,
    instrument: int,
    pan: float,
    body_shift: float = 0.0,
) -> FloatArray:
    """Each note is the recorded key nearest to `body_shift` semitones above it, resampled: [2, T].

    A shift takes the instrument's body (its formants) along the other way: one more instrument for nothing.
    """
    out = np.zeros((2, n_samples), np.float32)
    recorded = np.flatnonzero(bank.instruments == instrument)
    for note in notes:
        nearest = recorded[np.argmin(np.abs(bank.keys[recorded] - note.key - body_shift))]
        ratio = 2 ** ((note.key - bank.keys[nearest]) / 12)
        length = int((note.end_s - note.start_s + RELEASE_S) * SAMPLE_RATE_HZ)
        sound = resampled(bank.audio.clip(int(nearest)), ratio, length)
        fade = min(len(sound), int(RELEASE_S * SAMPLE_RATE_HZ))
        sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        mix_at(out, sound, note.start_s, pan, (note.velocity / 127) ** 1.4)
    return out


def play_loop(rng: np.random.Generator, audio: AudioPool, loop: int, n_samples: int) -> FloatArray:
    """A loop from a random place at a slightly different speed, repeated to the length: [2, T]."""
    sound = resampled(audio.clip(loop), rng.uniform(0.88, 1.12))
    repeated = np.resize(np.roll(sound, -int(rng.integers(len(sound)))), n_samples)
    return np.stack([repeated, repeated])


def resampled(audio: FloatArray, ratio: float, length: int | None = None) -> FloatArray:
    """Read `audio` `ratio` times as fast (linear interpolation), at most `length` samples of it."""
    count = max(1, int((len(audio) - 2) / ratio))
    count = count if length is None else max(1, min(count, length))
    places = np.arange(count, dtype=np.float32) * np.float32(ratio)
    whole = np.minimum(places.astype(np.int32), len(audio) - 2)
    part = places - whole
    return np.asarray(audio[whole] * (1 - part) + audio[whole + 1] * part, np.float32)


def mix_at(out: FloatArray, sound: FloatArray, start_s: float, pan: float, gain: float) -> None:
    """Add a mono sound to the stereo `out` [2, T], panned with constant power."""
    start = int(start_s * SAMPLE_RATE_HZ)
    sound = sound[: max(0, out.shape[1] - start)]
    out[0, start : start + len(sound)] += sound * np.float32(gain * np.sqrt((1 - pan) / 2))
    out[1, start : start + len(sound)] += sound * np.float32(gain * np.sqrt((1 + pan) / 2))
