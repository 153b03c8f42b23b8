"""Accompaniments for the bank as MIDI-like events: MMA styles over random charts, and the table."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mido  # type: ignore[import-not-found,import-untyped,unused-ignore]
import numpy as np

from ugosa_research.songs.bank.pools import TICKS_PER_BEAT, Grooves
from ugosa_research.songs.composition import Harmony, chord_symbols, random_harmony

MMA_LIBRARY = Path("/usr/share/mma/lib")
BARS = 16
DRUM_CHANNEL = 9
DRUMS_PROGRAM = -1
POPULAR = re.compile(
    r"rock|pop|beat|funk|disco|dance|tech|house|hip|trip|punk|metal|r.?b|soul|ballad|ska|reggae|"
    r"thrs|indus|hvy|hard|dnb|grunge|trance|fusion|blus|blues|folk",
    re.I,
)
POPULAR_SHARE = 0.8
NOT_FOUR_BEATS = re.compile(r"^\s*time\s+[356]|timesig\s+[356]", re.I | re.M)
NOT_A_GROOVE = re.compile(r"intro|end|fill|walk|solo", re.I)


Event = tuple[int, int, int, int]
"""Start and duration in ticks of the bank, key, velocity."""


@dataclass(frozen=True)
class Style:
    """One MMA file and the grooves it defines."""

    file: Path
    grooves: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """One accompaniment of BARS bars: parts as (program, events)."""

    name: str
    harmony: Harmony
    parts: tuple[tuple[int, tuple[Event, ...]], ...]


def played_styles(count: int, seed: int = 3) -> list[Pattern]:
    """Play `count` random styles; those that MMA refuses or that have no drums are left out."""
    rng = np.random.default_rng(seed)
    styles = four_beat_styles()
    popular = [style for style in styles if POPULAR.search(style.file.name)]
    patterns: list[Pattern] = []
    for _ in range(count):
        pool = popular if rng.random() < POPULAR_SHARE else styles
        pattern = played_style(rng, pool[rng.integers(len(pool))])
        if pattern is not None:
            patterns.append(pattern)
    return patterns


def grooves_of(patterns: Sequence[Pattern]) -> Grooves:
    """The bank's table of patterns."""
    events: list[Event] = []
    parts: list[tuple[int, int, int, int]] = []
    for number, pattern in enumerate(patterns):
        for program, notes in pattern.parts:
            parts.append((number, program, len(events), len(notes)))
            events += notes
    return Grooves(
        events=np.array(events),
        parts=np.array(parts),
        keys=np.array([pattern.harmony.tonic for pattern in patterns]),
        minor=np.array([pattern.harmony.minor for pattern in patterns], np.int64),
        tempi_bpm=np.array([pattern.harmony.tempo_bpm for pattern in patterns], np.float32),
        degrees=np.array([pattern.harmony.degrees for pattern in patterns]),
        names=tuple(pattern.name for pattern in patterns),
    )


def four_beat_styles() -> list[Style]:
    """Every style of the library in four beats."""
    styles = []
    for file in sorted(MMA_LIBRARY.glob("*/*.mma")):
        text = file.read_text(errors="replace")
        grooves = [
            groove
            for groove in re.findall(r"(?im)^\s*DefGroove\s+(\S+)", text)
            if not NOT_A_GROOVE.search(groove)
        ]
        if grooves and not NOT_FOUR_BEATS.search(text) and "metronome" not in file.name:
            styles.append(Style(file, tuple(grooves)))
    return styles


def played_style(rng: np.random.Generator, style: Style) -> Pattern | None:
    """Let MMA play one of the style's grooves over a random chart."""
    harmony = random_harmony(rng, BARS)
    groove = str(rng.choice(style.grooves))
    chart = [f"Tempo {harmony.tempo_bpm:.1f}", f"Groove {style.file}:{groove}"]
    chart += [f"{bar + 1} {symbol}" for bar, symbol in enumerate(chord_symbols(rng, harmony))]
    with tempfile.TemporaryDirectory() as folder:
        source, midi = Path(folder, "song.mma"), Path(folder, "song.mid")
        source.write_text("\n".join(chart) + "\n")
        subprocess.run(["mma", str(source), "-f", str(midi)], capture_output=True, timeout=60, check=False)
        if not midi.exists():
            return None
        parts = midi_parts(midi)
    if not any(program == DRUMS_PROGRAM for program, _ in parts):
        return None
    return Pattern(f"{style.file.parent.name}/{groove}", harmony, tuple(parts))


def midi_parts(midi: Path) -> list[tuple[int, tuple[Event, ...]]]:
    """Notes of each track in ticks of the bank: (program, ((start, duration, key, velocity), ...))."""
    file = mido.MidiFile(str(midi))
    scale = TICKS_PER_BEAT / file.ticks_per_beat
    parts = []
    for track in file.tracks:
        time, program = 0, 0
        sounding: dict[int, tuple[int, int]] = {}
        notes: list[Event] = []
        for message in track:
            time += message.time
            if message.type == "program_change":
                program = message.program
            elif message.type in ("note_on", "note_off"):
                if message.channel == DRUM_CHANNEL:
                    program = DRUMS_PROGRAM
                started = sounding.pop(message.note, None)
                if started is not None:
                    start, velocity = started
                    notes.append(
                        (round(start * scale), max(1, round((time - start) * scale)), message.note, velocity)
                    )
                if message.type == "note_on" and message.velocity > 0:
                    sounding[message.note] = (time, message.velocity)
        if notes:
            parts.append((program, tuple(sorted(notes))))
    return parts
