"""The sampler bank: every sound and pattern that generated songs are made of, small enough to carry about.

A folder of Vorbis pools and NumPy tables: single drum hits, single notes of instruments, sung and spoken
syllables with pitch marks, loops of whole stems, and accompaniment patterns. A machine with numpy and
soundfile can make songs from it without end. The bank stays with its maker (the licences of its sources
differ); only weights trained on it are shipped.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ugosa_server.errors import ConfigError

SAMPLE_RATE_HZ = 44100
STEMS = ("drums", "bass", "other", "vocals")
DRUM_ROLES = (
    "kick",
    "snare",
    "stick",
    "clap",
    "closed_hat",
    "pedal_hat",
    "open_hat",
    "low_tom",
    "mid_tom",
    "high_tom",
    "ride",
    "crash",
    "bell",
    "percussion",
)
TICKS_PER_BEAT = 240
BEATS_PER_BAR = 4
INT16_FULL_SCALE = 32768.0

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class AudioPool:
    """Many short mono clips in one array."""

    samples: NDArray[np.int16]
    """All clips, one after another, at 44.1 kHz."""
    starts: IntArray
    """First sample of each clip."""
    lengths: IntArray
    """Samples in each clip."""

    def clip(self, index: int) -> FloatArray:
        """One clip as floats: [T]."""
        start = int(self.starts[index])
        clip = self.samples[start : start + int(self.lengths[index])]
        return clip.astype(np.float32) / np.float32(INT16_FULL_SCALE)


@dataclass(frozen=True)
class DrumHits:
    """Single hits, by kit and role."""

    audio: AudioPool
    roles: IntArray
    """Index into DRUM_ROLES, a hit each."""
    kits: IntArray
    """Index into kit_names, a hit each."""
    kit_names: tuple[str, ...]


@dataclass(frozen=True)
class PitchedNotes:
    """Single notes of melodic instruments at several keys each."""

    audio: AudioPool
    keys: IntArray
    """MIDI key each note was played at."""
    instruments: IntArray
    """Index into instrument_names, a note each."""
    programs: IntArray
    """General MIDI program (0 to 127), an instrument each."""
    instrument_names: tuple[str, ...]


@dataclass(frozen=True)
class Syllables:
    """Sung or spoken syllables with the pitch marks that PSOLA needs."""

    audio: AudioPool
    onsets: IntArray
    """Sample where the vowel should fall on the beat."""
    vowel_starts: IntArray
    """Sample from which the sound may be stretched."""
    mark_starts: IntArray
    """Index of a syllable's first mark."""
    mark_counts: IntArray
    marks: IntArray
    """One sample position a glottal period, within the syllable."""
    f0_hz: NDArray[np.float32]
    """Median pitch of each syllable."""
    voices: IntArray
    """Index into voice_names, a syllable each."""
    voice_names: tuple[str, ...]


@dataclass(frozen=True)
class Loops:
    """Longer stretches of one stem: real guitar takes and drum loops."""

    audio: AudioPool
    stems: IntArray
    """Index into STEMS, a loop each."""
    names: tuple[str, ...]


@dataclass(frozen=True)
class Grooves:
    """Accompaniments: every part of every pattern as MIDI-like events."""

    events: IntArray
    """[E, 4]: start and duration in ticks, key, velocity."""
    parts: IntArray
    """[P, 4]: pattern, program (-1: drums), first event, number of events."""
    keys: IntArray
    """Pitch class of the tonic, a pattern each."""
    minor: IntArray
    """1 where the pattern is in minor."""
    tempi_bpm: NDArray[np.float32]
    degrees: IntArray
    """[pattern, bar]: scale degree of the chord, 0 to 6."""
    names: tuple[str, ...]
    """Style of each pattern, `library/groove`."""


@dataclass(frozen=True)
class SamplerBank:
    """The whole bank."""

    drums: DrumHits
    bass: PitchedNotes
    other: PitchedNotes
    syllables: Syllables
    loops: Loops
    grooves: Grooves


_Table = TypeVar("_Table", DrumHits, PitchedNotes, Syllables, Loops, Grooves)
_TABLES: dict[str, type[Any]] = {
    "drums": DrumHits,
    "bass": PitchedNotes,
    "other": PitchedNotes,
    "syllables": Syllables,
    "loops": Loops,
    "grooves": Grooves,
}


def read_mono(path: Path) -> FloatArray:
    """Read a sound at 44.1 kHz: [T]."""
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = audio.mean(axis=1)
    if rate_hz != SAMPLE_RATE_HZ:
        mono = resample_poly(mono, SAMPLE_RATE_HZ, rate_hz)
    return np.asarray(mono, np.float32)


def pool_of(clips: list[FloatArray]) -> AudioPool:
    """Put clips (floats within full scale) one after another."""
    lengths = np.array([len(clip) for clip in clips], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if clips else lengths
    joined = np.concatenate(clips) if clips else np.zeros(0, np.float32)
    samples = np.round(np.clip(joined, -1, 1) * (INT16_FULL_SCALE - 1)).astype(np.int16)
    return AudioPool(samples, starts, lengths)


def save_table(folder: Path, name: str, table: _Table) -> None:
    """Write one kind of material: `name.npz`, and `name.ogg` where it has audio."""
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        if isinstance(value, AudioPool):
            _write_vorbis(folder / f"{name}.ogg", value.samples)
            columns |= {"starts": value.starts, "lengths": value.lengths}
        else:
            columns[field.name] = np.array(value)
    np.savez_compressed(folder / f"{name}.npz", **columns)


def load_table(folder: Path, name: str, kind: type[_Table]) -> _Table:
    """Read back what `save_table` wrote."""
    with np.load(folder / f"{name}.npz") as file:
        columns: dict[str, Any] = dict(file)
    for field in dataclasses.fields(kind):
        if field.name == "audio":
            samples = soundfile.read(folder / f"{name}.ogg", dtype="int16")[0]
            columns["audio"] = AudioPool(samples, columns.pop("starts"), columns.pop("lengths"))
        elif field.name.endswith("names"):
            columns[field.name] = tuple(str(value) for value in columns[field.name])
    return kind(**columns)


def load_bank(folder: Path) -> SamplerBank:
    """Read a whole bank into memory (about ten times its size on disk)."""
    missing = [name for name in _TABLES if not (folder / f"{name}.npz").exists()]
    if missing:
        raise ConfigError(
            f"{folder} is no sampler bank: it lacks {', '.join(missing)}; make one with "
            "`ugosa-server train data`"
        )
    return SamplerBank(**{name: load_table(folder, name, kind) for name, kind in _TABLES.items()})


def _write_vorbis(path: Path, samples: NDArray[np.int16]) -> None:
    with soundfile.SoundFile(
        path, "w", SAMPLE_RATE_HZ, 1, format="OGG", subtype="VORBIS", compression_level=0.5
    ) as file:
        for start in range(0, len(samples), SAMPLE_RATE_HZ):  # libvorbis overflows its stack on huge writes
            file.write(samples[start : start + SAMPLE_RATE_HZ])
