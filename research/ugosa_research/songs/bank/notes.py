"""Bass and other notes for the bank: programs of soundfonts, and random analog-style synth patches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray, PitchedNotes, pool_of
from ugosa_research.songs.bank.recordings import recorded_instruments
from ugosa_research.songs.soundfont import SoundfontPlayer

BASS_PROGRAMS = tuple(range(32, 40))
BASS_KEYS = (28, 33, 38, 43, 48)
OTHER_KEYS = (40, 47, 54, 60, 66, 72, 79)
# General MIDI programs by family; voices (52 to 54) and their like are left out: they belong to no "other"
# stem.
FAMILIES = {
    "piano": (0, 1, 2, 3, 4, 5),
    "chromatic": (8, 9, 11, 12, 13),
    "organ": (16, 17, 18, 19),
    "guitar": (24, 25, 26, 27, 28),
    "distorted": (29, 30),
    "strings": (40, 41, 42, 44, 45, 48, 49, 50, 51),
    "brass": (56, 57, 60, 61, 62, 63),
    "reed": (64, 65, 66, 67, 68, 71),
    "pipe": (72, 73, 75, 79),
    "lead": (80, 81, 83, 84, 86, 87),
    "pad": (88, 89, 90, 92, 93, 94, 95),
    "plucked": (104, 105, 107),
}
SHARE_OF_PROGRAMS = (1.0, 0.5, 0.5)  # of each soundfont in turn, so that the bank stays small
HELD_S = {"bass": 1.3, "other": 1.2}
RINGING_S = 0.4
NOTE_RMS = 0.08
SYNTH_BASSES = 24
SYNTH_OTHERS = 40


@dataclass(frozen=True)
class SynthPatch:
    """One setting of a subtractive synthesiser."""

    program: int
    """General MIDI program it stands for."""
    wave: str
    """saw, square or pulse."""
    voices: int
    """Oscillators, spread evenly over the detuning."""
    detune_cents: float
    """From the middle to the outermost oscillator."""
    cutoff_hz: float
    """Cutoff of the low-pass once its envelope has decayed."""
    envelope: float
    """Opening of the low-pass by the attack: its cutoff times (1 + this)."""
    decay_s: float
    """Time constant of that envelope."""
    attack_s: float
    """Rise of the loudness."""
    sub_octave: float
    """Level of a sine an octave below."""


def family_of(program: int) -> str | None:
    """Return the family of a General MIDI program, None for voices and effects."""
    return next((family for family, programs in FAMILIES.items() if program in programs), None)


def build_notes(
    kind: str, soundfonts: tuple[Path, ...], recordings: Path | None = None, seed: int = 0
) -> PitchedNotes:
    """Record every chosen program (`kind`: "bass" or "other") at a few keys; add synths and recordings."""
    rng = np.random.default_rng(seed)
    player = SoundfontPlayer()
    keys = BASS_KEYS if kind == "bass" else OTHER_KEYS
    programs = BASS_PROGRAMS if kind == "bass" else tuple(p for family in FAMILIES.values() for p in family)
    instruments: list[tuple[str, int, dict[int, FloatArray]]] = []
    for soundfont, share in zip(soundfonts, SHARE_OF_PROGRAMS, strict=True):
        for program in programs:
            if kind == "bass" or rng.random() < share:
                notes = {
                    key: player.note(soundfont, 0, program, key, 100, HELD_S[kind], RINGING_S) for key in keys
                }
                instruments.append((f"{soundfont.name}:{program}", program, notes))
    for number in range(SYNTH_BASSES if kind == "bass" else SYNTH_OTHERS):
        patch = random_patch(rng, kind)
        notes = {key: synth_note(patch, key, HELD_S[kind], rng) for key in keys}
        instruments.append((f"synth:{number}", patch.program, notes))
    if recordings is not None:
        instruments += recorded_instruments(recordings, kind)
    clips, note_keys, owners = [], [], []
    for owner, (_, _, notes) in enumerate(instruments):
        for key, note in notes.items():
            if np.abs(note).max() > 2e-3:  # a key outside the program's range is silent
                clips.append(levelled_note(note))
                note_keys.append(key)
                owners.append(owner)
    return PitchedNotes(
        audio=pool_of(clips),
        keys=np.array(note_keys),
        instruments=np.array(owners),
        programs=np.array([program for _, program, _ in instruments]),
        instrument_names=tuple(name for name, _, _ in instruments),
    )


def levelled_note(note: FloatArray) -> FloatArray:
    """Cut the silence before and after, and give the first half second a common loudness."""
    loud = np.flatnonzero(np.abs(note) > 1e-3 * np.abs(note).max())
    note = note[max(0, loud[0] - 20) : loud[-1] + 1].copy()
    fade = min(len(note), 1500)
    note[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    rms = np.sqrt(np.mean(note[: SAMPLE_RATE_HZ // 2] ** 2) + 1e-9)
    return np.asarray(np.clip(note * (NOTE_RMS / rms), -0.98, 0.98), np.float32)


def random_patch(rng: np.random.Generator, kind: str) -> SynthPatch:
    """Draw a bass, lead, pluck or pad."""
    bass = kind == "bass"
    pad = not bass and rng.random() < 0.4
    return SynthPatch(
        program=38 if bass else (90 if pad else 81),
        wave=str(rng.choice(["saw", "square", "pulse"])),
        voices=1 if bass else int(rng.choice([2, 3, 5, 7])),
        detune_cents=rng.uniform(3, 18),
        cutoff_hz=rng.uniform(300, 1800) if bass else rng.uniform(800, 7000),
        envelope=rng.uniform(1, 6),
        decay_s=rng.uniform(0.08, 0.6),
        attack_s=rng.uniform(0.05, 0.3) if pad else 0.004,
        sub_octave=0.6 if bass and rng.random() < 0.5 else 0.0,
    )


def synth_note(patch: SynthPatch, key: int, held_s: float, rng: np.random.Generator) -> FloatArray:
    """Detuned band-limited oscillators through a low-pass whose opening decays: [T]."""
    n = int((held_s + 0.15) * SAMPLE_RATE_HZ)
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    f0_hz = 440 * 2 ** ((key - 69) / 12)
    spread = np.linspace(-1, 1, patch.voices) if patch.voices > 1 else np.zeros(1)
    wave = np.zeros(n)
    for position in spread:
        wave += (
            _oscillator(patch.wave, f0_hz * 2 ** (patch.detune_cents * position / 1200), n, rng)
            / patch.voices
        )
    wave += patch.sub_octave * np.sin(np.pi * f0_hz * time_s)
    opened_hz = min(patch.cutoff_hz * (1 + patch.envelope), 18000)
    opening = np.exp(-time_s / patch.decay_s)
    bright = sosfilt(butter(2, opened_hz, fs=SAMPLE_RATE_HZ, output="sos"), wave)
    dark = sosfilt(butter(2, patch.cutoff_hz, fs=SAMPLE_RATE_HZ, output="sos"), wave)
    release = np.clip((held_s + 0.15 - time_s) / 0.15, 0, 1)
    envelope = np.minimum(1, time_s / patch.attack_s) * release
    return np.asarray(0.3 * envelope * (bright * opening + dark * (1 - opening)), np.float32)


def _oscillator(wave: str, f_hz: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    saw = _band_limited_saw(f_hz, n, rng.random())
    if wave == "saw":
        return saw
    shift = int(SAMPLE_RATE_HZ / f_hz * (0.5 if wave == "square" else 0.3))
    return saw - np.roll(saw, shift)


def _band_limited_saw(f_hz: float, n: int, phase: float) -> NDArray[np.float64]:
    """PolyBLEP: the step of the saw is rounded over a sample to each side, which takes off most aliasing."""
    step = f_hz / SAMPLE_RATE_HZ
    phases = (phase + step * np.arange(n)) % 1
    saw = 2 * phases - 1
    after, before = phases < step, phases > 1 - step
    q = phases[after] / step
    saw[after] -= 2 * q - q * q - 1
    q = (phases[before] - 1) / step
    saw[before] -= q * q + 2 * q + 1
    return np.asarray(saw, np.float64)
