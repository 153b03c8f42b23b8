"""Standard MIDI files: tracks named as regions (`vocals`, `no vocals`), notes as spans.

Pitch and velocity mean nothing. Read with any tempo map. Written at 120 BPM, where most sequencers start,
with `TICKS_PER_BEAT` ticks: a position is off by at most half a tick, 8.4 microseconds, which gives every
frame back at rates up to 59 kHz and is within two frames at 192 kHz. A note is one tick long at least.

Needs mido: `pip install "ugosa-client[formats]"`.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ugosa_client.marks.regions import Position, Region, rounded

if TYPE_CHECKING:
    import mido

MICROSECONDS_PER_BEAT = 500_000
TICKS_PER_BEAT = 30_000
TOLERANCE_S = Fraction(MICROSECONDS_PER_BEAT, 2 * TICKS_PER_BEAT * 10**6)
FIRST_PITCH = 60


def looks_like(data: bytes) -> bool:
    """Return whether the data begins as every MIDI file does."""
    return data.startswith(b"MThd")


def parse(data: bytes) -> list[Region]:
    """Read the notes of all named tracks.

    Raises:
        ValueError: it cannot be read, or mido is not installed.
    """
    reader = _mido()
    try:
        file = reader.MidiFile(file=io.BytesIO(data))
    except (OSError, EOFError, LookupError, ValueError):  # what mido says of them is for programmers
        raise ValueError("it is no MIDI file that can be read: it is damaged, or cut short") from None
    if file.type == 2:
        raise ValueError("its tracks are patterns without a common time (type 2); save it as type 1")
    if file.ticks_per_beat <= 0:
        raise ValueError("it counts SMPTE frames instead of beats; save it with ticks per beat")
    clock = _Clock(file)
    return [region for track in file.tracks for region in _notes(track, clock)]


def write(regions: Sequence[Region], sample_rate_hz: int | None) -> bytes:
    """Write a track for each name."""
    midi = _mido()
    file = midi.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    tempo = midi.MetaMessage("set_tempo", tempo=MICROSECONDS_PER_BEAT)
    file.tracks.append(midi.MidiTrack([tempo]))
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for region in regions:
        start, end = _ticks(region.start, sample_rate_hz), _ticks(region.end, sample_rate_hz)
        spans[region.name].append((start, max(end, start + 1)))
    for name, notes in spans.items():
        file.tracks.append(_track(midi, name, notes))
    stream = io.BytesIO()
    file.save(file=stream)
    return stream.getvalue()


class _Clock:
    """Conversion of ticks to seconds along the tempo map."""

    def __init__(self, file: mido.MidiFile) -> None:
        changes = {0: MICROSECONDS_PER_BEAT}
        for track in file.tracks:
            tick = 0
            for message in track:
                tick += message.time
                if message.type == "set_tempo":
                    changes[tick] = message.tempo
        self._ticks_per_beat = file.ticks_per_beat
        self._segments: list[tuple[int, Fraction, Fraction]] = []  # first tick, its time, seconds a tick
        time_s, last_tick, seconds_per_tick = Fraction(0), 0, Fraction(0)
        for tick, tempo in sorted(changes.items()):
            time_s += (tick - last_tick) * seconds_per_tick
            last_tick, seconds_per_tick = tick, Fraction(tempo, self._ticks_per_beat * 10**6)
            self._segments.append((tick, time_s, seconds_per_tick))

    def position(self, tick: int) -> Position:
        first, time_s, seconds_per_tick = next(s for s in reversed(self._segments) if s[0] <= tick)
        return Position(time_s + (tick - first) * seconds_per_tick, seconds_per_tick)


def _notes(track: mido.MidiTrack, clock: _Clock) -> list[Region]:
    tick, name = 0, ""
    sounding: dict[tuple[int, int], list[int]] = defaultdict(list)
    regions = []
    for message in track:
        tick += message.time
        if message.type == "track_name" and not name:
            name = message.name.encode("latin-1").decode("utf-8", errors="replace").strip()
        elif message.type == "note_on" and message.velocity > 0:
            sounding[message.channel, message.note].append(tick)
        elif message.type in ("note_on", "note_off") and sounding[message.channel, message.note]:
            start = sounding[message.channel, message.note].pop(0)
            regions.append(Region(name, clock.position(start), clock.position(tick)))
    if any(sounding.values()):
        raise ValueError(f"the track {name!r} has a note that does not end")
    return regions


def _track(midi: Any, name: str, notes: Sequence[tuple[int, int]]) -> mido.MidiTrack:
    """Put overlapping notes on pitches of their own, so that each keeps its end."""
    free_from: list[int] = []
    events: list[tuple[int, int, str, int]] = []  # tick, ends before starts, type, pitch
    for start, end in sorted(notes):
        lane = next((k for k, free in enumerate(free_from) if free <= start), len(free_from))
        free_from[lane : lane + 1] = [end]
        events += [(start, 1, "note_on", FIRST_PITCH + lane), (end, 0, "note_off", FIRST_PITCH + lane)]
    track = midi.MidiTrack([midi.MetaMessage("track_name", name=name)])
    last = 0
    for tick, _, kind, pitch in sorted(events):
        track.append(midi.Message(kind, note=pitch % 128, velocity=64, time=tick - last))
        last = tick
    return track


def _ticks(position: Position, sample_rate_hz: int | None) -> int:
    beats = position.seconds(sample_rate_hz) * 10**6 / MICROSECONDS_PER_BEAT
    return rounded(beats * TICKS_PER_BEAT)


def _mido() -> Any:
    try:
        import mido
    except ImportError:
        raise ValueError(
            'MIDI files need mido; install it with: pip install "ugosa-client[formats]"'
        ) from None
    return mido
