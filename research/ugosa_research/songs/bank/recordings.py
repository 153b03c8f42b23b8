"""Recorded notes and kits of a folder of one's own: what soundfonts do not have of a player's hands.

    RECORDINGS/bass|other/INSTRUMENT/LAYER_NOTE_MORE.ogg    single notes; a layer is an instrument of the bank
    RECORDINGS/drums/KIT/ROLE_NUMBER.ogg                    single hits

A note's key is read from its name, up to the octave, where sample libraries differ: that of the instrument is
measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray, read_mono

SUFFIXES = (".ogg", ".wav", ".flac")
NOTE = re.compile(
    r"(?:^|_)(?P<letter>[A-Ga-g])(?P<accidental>_|b(?=\d)|)(?P<octave>\d)(?=_|v|\.)(?P<rest>.*)"
)
PITCH_CLASSES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
LOWEST_KEY, HIGHEST_KEY = 23, 96
LONGEST_S = 2.5
FAINT = 1e-3  # peak of a file that holds no note
FEWEST_NOTES = 4  # of a layer
PITCH_S = (0.05, 0.45)  # after the loudest attack, where a note has settled
# General MIDI program by a word in the instrument's name; else that of its stem.
PROGRAMS = {"shiny": 25, "guitar": 27, "piano": 0, "sax": 65, "meat": 32, "flbass": 35}
PROGRAM_OF_STEM = {"bass": 33, "other": 27}


def recorded_instruments(folder: Path, stem: str) -> Iterator[tuple[str, int, dict[int, FloatArray]]]:
    """Yield name, General MIDI program and notes by MIDI key of every layer of every instrument."""
    for instrument in sorted(path for path in (folder / stem).glob("*") if path.is_dir()):
        layers: dict[str, dict[int, FloatArray]] = {}
        octaves = []
        for path in _sounds(instrument):
            found = NOTE.search(path.stem)
            if found is None:
                continue
            audio = read_mono(path)[: int(LONGEST_S * SAMPLE_RATE_HZ)]
            if np.abs(audio).max(initial=0) < FAINT:
                continue
            key = _named_key(found["letter"], found["accidental"], int(found["octave"]))
            octaves.append((measured_key(audio, key % 12) - key) // 12)
            layer = re.sub(r"_?(rr)?\d+$", "", path.stem[: found.start()] + found["rest"])
            layers.setdefault(layer, {}).setdefault(key, audio)
        program = next((p for word, p in PROGRAMS.items() if word in instrument.name), PROGRAM_OF_STEM[stem])
        for layer, notes in sorted(layers.items()):
            if len(notes) >= FEWEST_NOTES:
                shift = 12 * int(np.median(octaves))
                shifted = {key + shift: audio for key, audio in sorted(notes.items())}
                yield f"recorded:{instrument.name}:{layer}", program, shifted


def recorded_hits(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield kit, instrument as its file says it, and file of every hit."""
    for kit in sorted(path for path in (folder / "drums").glob("*") if path.is_dir()):
        for path in _sounds(kit):
            yield f"recorded:{kit.name}", re.sub(r"_\d+$", "", path.stem), path


def measured_key(audio: FloatArray, pitch_class: int) -> int:
    """Return the MIDI key of a pitch class whose partials explain a note best."""
    attack = int(np.abs(audio[: SAMPLE_RATE_HZ // 2]).argmax())
    first, last = (attack + int(s * SAMPLE_RATE_HZ) for s in PITCH_S)
    settled = audio[first:last] if last <= len(audio) else audio
    n_fft = 1 << 17
    magnitudes = np.abs(np.fft.rfft(settled * np.hanning(len(settled)), n_fft))
    step_hz = SAMPLE_RATE_HZ / n_fft
    keys = [key for key in range(LOWEST_KEY, HIGHEST_KEY + 1) if key % 12 == pitch_class]

    def explained(key: int) -> float:
        """Power at the partials; where that is at the even ones alone, the key is an octave too low."""
        f0_hz = 440 * 2 ** ((key - 69) / 12)
        count = max(1, min(12, int(5000 / f0_hz)))

        def power(partial: float) -> float:
            centre, half = partial * f0_hz / step_hz, max(2.0, 0.02 * partial * f0_hz / step_hz)
            return float(magnitudes[int(centre - half) : int(centre + half) + 1].max() ** 2)

        on = sum(power(n) for n in range(1, count + 1))
        odd = sum(power(n) for n in range(1, count + 1, 2))
        return float(on * (odd / (on + 1e-12)) ** 0.3)

    return max(keys, key=explained)


def _named_key(letter: str, accidental: str, octave: int) -> int:
    """Return the MIDI key of a name such as a2, bb2 (flat) or D_1 (sharp), with C4 = 60."""
    return 12 * (octave + 1) + PITCH_CLASSES[letter.lower()] + {"": 0, "_": 1, "b": -1}[accidental]


def _sounds(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
