"""Arrangements that people wrote: the MIDI music of free games, in stretches of 16 bars.

What MMA plays over random charts is regular; these have fills, breaks, counter-melodies and songs' forms.
Only songs in four beats with drums are taken. A melody must know the harmony, which a MIDI file does not say:
the key is the one whose profile fits the notes best (Krumhansl and Kessler 1982), and the chord of a bar the
triad of its scale whose tones sound longest in it, bass notes counted twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from ugosa_research.songs.bank.grooves import BARS, DRUM_CHANNEL, DRUMS_PROGRAM, Event, Pattern
from ugosa_research.songs.bank.pools import BEATS_PER_BAR, TICKS_PER_BEAT
from ugosa_research.songs.composition import SCALES, Harmony

# Folder and file pattern of each Debian package's music.
MIDI_FOLDERS = {
    "simutrans-data": (Path("/usr/share/games/simutrans/music"), "*.mid"),
    "openttd-openmsx": (Path("/usr/share/games/openttd/baseset/openmsx"), "*.mid"),
    "planetblupi-music-midi": (Path("/usr/share/planetblupi/music"), "*.mid"),
}
MOST_STRETCHES = 4  # of a song: one of them lasts half an hour
FEWEST_DRUM_BARS = 12  # of the 16
DEFAULT_TEMPO_BPM = 120.0
BASS_PROGRAMS = range(32, 40)
BASS_WEIGHT = 2.0
TICKS_PER_BAR = BEATS_PER_BAR * TICKS_PER_BEAT
KEY_PROFILES = {  # how well each degree of the chromatic scale fits a key; Krumhansl and Kessler 1982
    False: (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    True: (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def midi_song_patterns() -> list[Pattern]:
    """Stretches of all songs of the packages that are installed."""
    return [
        pattern
        for package, (folder, files) in MIDI_FOLDERS.items()
        for path in sorted(folder.glob(files))
        for pattern in stretches(path, f"{package}/{path.stem}")
    ]


def stretches(path: Path, name: str) -> list[Pattern]:
    """The first stretches of a song in which the drums play; none if it is not in four or cannot be read."""
    try:
        song = mido.MidiFile(str(path))
    except (OSError, EOFError, ValueError, mido.KeySignatureError):
        return []
    messages = [message for track in song.tracks for message in track]
    if any(m.type == "time_signature" and (m.numerator, m.denominator) != (4, 4) for m in messages):
        return []
    parts = channel_parts(song)
    tempi = _tempi(song)
    last = max((events[-1][0] for events in parts.values()), default=-1)
    found: list[Pattern] = []
    for start in range(0, last + 1, BARS * TICKS_PER_BAR):
        pattern = _stretch(parts, tempi, start, f"{name}/{len(found) + 1}")
        if pattern is not None:
            found.append(pattern)
        if len(found) == MOST_STRETCHES:
            break
    return found


def channel_parts(song: mido.MidiFile) -> dict[tuple[int, int], list[Event]]:
    """Notes in ticks of the bank, in order, by (channel, program); drums have the program -1."""
    scale = TICKS_PER_BEAT / song.ticks_per_beat
    parts: dict[tuple[int, int], list[Event]] = defaultdict(list)
    programs: dict[int, int] = {}
    sounding: dict[tuple[int, int], tuple[int, int]] = {}
    time = 0
    for message in mido.merge_tracks(song.tracks):
        time += message.time
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type in ("note_on", "note_off"):
            channel, key = message.channel, message.note
            started = sounding.pop((channel, key), None)
            if started is not None:
                start, velocity = started
                program = DRUMS_PROGRAM if channel == DRUM_CHANNEL else programs.get(channel, 0)
                ticks = max(1, round((time - start) * scale))
                parts[channel, program].append((round(start * scale), ticks, key, velocity))
            if message.type == "note_on" and message.velocity > 0:
                sounding[channel, key] = (time, message.velocity)
    return {part: sorted(events) for part, events in parts.items()}


def _tempi(song: mido.MidiFile) -> list[tuple[int, float]]:
    """Changes of tempo: (tick of the bank, beats a minute)."""
    scale = TICKS_PER_BEAT / song.ticks_per_beat
    tempi, time = [(0, DEFAULT_TEMPO_BPM)], 0
    for message in mido.merge_tracks(song.tracks):
        time += message.time
        if message.type == "set_tempo":
            tempi.append((round(time * scale), float(mido.tempo2bpm(message.tempo))))
    return tempi


def _stretch(
    parts: dict[tuple[int, int], list[Event]], tempi: Sequence[tuple[int, float]], start: int, name: str
) -> Pattern | None:
    stop = start + BARS * TICKS_PER_BAR
    inside: list[tuple[int, tuple[Event, ...]]] = []
    for (_, program), events in parts.items():
        cut = tuple((event[0] - start, *event[1:]) for event in events if start <= event[0] < stop)
        if cut:
            inside.append((program, cut))
    drum_bars = {
        event[0] // TICKS_PER_BAR
        for program, events in inside
        if program == DRUMS_PROGRAM
        for event in events
    }
    if len(drum_bars) < FEWEST_DRUM_BARS or all(program == DRUMS_PROGRAM for program, _ in inside):
        return None
    weights = tone_weights(inside)
    tonic, minor = key_of(weights.sum(axis=0))
    tempo_bpm = max(entry for entry in tempi if entry[0] <= start)[1]
    return Pattern(name, Harmony(tonic, minor, tempo_bpm, degrees_of(weights, tonic, minor)), tuple(inside))


def tone_weights(parts: Sequence[tuple[int, Sequence[Event]]]) -> NDArray[np.float64]:
    """Duration of each pitch class in each bar, in bars, without drums: [BARS, 12]."""
    weights = np.zeros((BARS, 12))
    for program, events in parts:
        if program == DRUMS_PROGRAM:
            continue
        weight = BASS_WEIGHT if program in BASS_PROGRAMS else 1.0
        for start, ticks, key, _ in events:
            for bar, share in _bars(start, start + ticks):
                weights[bar, key % 12] += weight * share
    return weights


def _bars(start: int, stop: int) -> Iterator[tuple[int, float]]:
    """The bars of a note, and how much of each it fills."""
    for bar in range(start // TICKS_PER_BAR, min(BARS, -(-stop // TICKS_PER_BAR))):
        first, last = bar * TICKS_PER_BAR, (bar + 1) * TICKS_PER_BAR
        yield bar, (min(stop, last) - max(start, first)) / TICKS_PER_BAR


def key_of(weights: NDArray[np.float64]) -> tuple[int, bool]:
    """The tonic and whether it is minor, by the best correlated profile: [12] -> key."""
    fits = {
        (tonic, minor): float(np.corrcoef(np.roll(profile, tonic), weights)[0, 1])
        for minor, profile in KEY_PROFILES.items()
        for tonic in range(12)
    }
    return max(fits, key=lambda key: fits[key])


def degrees_of(weights: NDArray[np.float64], tonic: int, minor: bool) -> tuple[int, ...]:
    """The scale degree of each bar's chord; a bar without tones keeps the one before: [BARS, 12] -> BARS."""
    scale = SCALES[minor]
    triads = [[(tonic + scale[(degree + third) % 7]) % 12 for third in (0, 2, 4)] for degree in range(7)]
    degrees: list[int] = []
    for bar in weights:
        fits = [bar[triad].sum() + 0.5 * bar[triad[0]] for triad in triads]  # its root weighs more
        degrees.append(int(np.argmax(fits)) if bar.any() else (degrees[-1] if degrees else 0))
    return tuple(degrees)
