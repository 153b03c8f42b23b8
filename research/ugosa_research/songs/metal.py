"""Metal: riffs of distorted, double-tracked guitars over fast drums, which accompaniment styles do not have.

Guitars are synthesised: plucked strings of decaying harmonics go *together* through one distortion, as power
chords do, then through a loudspeaker cabinet; each side of the stereo image is a take of its own. Bass and
drums come from the bank and play the same riff; the singer shouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray, SamplerBank
from ugosa_research.songs.bank.split import BankSplit
from ugosa_research.songs.composition import Harmony, Note
from ugosa_research.songs.pedalboard_effects import equalised, levelled, peaking, saturated
from ugosa_research.songs.sampler import mix_at, play_drums, play_notes

STEPS_PER_BAR = 16
LOWEST_KEYS = (35, 36, 38, 39, 40)  # open low strings from B1 to E2
RIFF_INTERVALS = (0, 0, 0, 0, 1, 3, 5, 6, 7, 8, 10, 12)  # semitones above it
POWER_CHORD = (0, 7, 12)
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH, RIDE, TOMS = 36, 38, 42, 46, 49, 51, (48, 45, 41)
BEATS: dict[str, dict[int, Sequence[int]]] = {  # sixteenths of the bar on which kick and snare fall
    "blast": {KICK: range(0, 16, 2), SNARE: range(1, 16, 2)},
    "double kick": {KICK: range(16), SNARE: (4, 12)},
    "thrash": {KICK: (0, 3, 4, 7, 8, 11, 12, 15), SNARE: (2, 6, 10, 14)},
    "half time": {KICK: (0, 3, 6, 10), SNARE: (8,)},
    "rock": {KICK: (0, 6, 8, 10), SNARE: (4, 12)},
}
STRING_HIGHEST_HZ = 9000.0
MUTED_DECAY_S, OPEN_DECAY_S = (0.04, 0.12), (0.8, 3.0)
PICK_S = 0.004
TAKE_TIMING_S = 0.006  # between the two takes of a double-tracked guitar, standard deviation
TAKE_TUNING_CENTS = 4.0


@dataclass(frozen=True)
class Stroke:
    """One stroke of the riff."""

    step: int
    """Sixteenth of the riff it falls on."""
    steps: int
    """Sixteenths until the next stroke."""
    key: int
    """MIDI key of its lowest string."""
    muted: bool
    """The palm damps the strings: a short chug."""


@dataclass(frozen=True)
class MetalSong:
    """The score of one song."""

    tempo_bpm: float
    strokes: list[Stroke]
    """Strokes of the whole song."""
    drums: list[Note]

    @property
    def step_s(self) -> float:
        """Length of a sixteenth."""
        return 60 / self.tempo_bpm / 4


def metal_score(rng: np.random.Generator, duration_s: float) -> MetalSong:
    """Riffs of one or two bars, each played four times to a beat of its own."""
    tempo_bpm = rng.uniform(90, 215)
    bar_s = 240 / tempo_bpm
    n_bars = int(np.ceil(duration_s / bar_s)) + 1
    root = int(rng.choice(LOWEST_KEYS))
    strokes: list[Stroke] = []
    drums: list[Note] = []
    bar = 0
    while bar < n_bars:
        riff = _riff(rng, root, int(rng.choice([1, 2, 2])))
        riff_steps = sum(stroke.steps for stroke in riff)
        beat = str(rng.choice(list(BEATS)))
        for _ in range(4 * STEPS_PER_BAR // min(riff_steps, 2 * STEPS_PER_BAR)):
            first = bar * STEPS_PER_BAR
            strokes += [Stroke(first + s.step, s.steps, s.key, s.muted) for s in riff]
            bar += riff_steps // STEPS_PER_BAR
        first_bar = bar - 4
        for drum_bar in range(first_bar, bar):
            fill = drum_bar == bar - 1 and rng.random() < 0.5
            drums += _drum_bar(rng, beat, drum_bar * bar_s, bar_s, crash=drum_bar == first_bar, fill=fill)
    return MetalSong(
        tempo_bpm,
        [stroke for stroke in strokes if stroke.step * bar_s / STEPS_PER_BAR < duration_s],
        [note for note in drums if 0 <= note.start_s < duration_s],
    )


def _riff(rng: np.random.Generator, root: int, bars: int) -> list[Stroke]:
    """Chugs on the open string between chords; some riffs hold long chords instead."""
    n = bars * STEPS_PER_BAR
    held = rng.random() < 0.25
    lengths = (4, 8, 16) if held else (1, 1, 2, 2, 2, 3, 4)
    muted_share = 0.0 if held else rng.uniform(0.2, 0.9)
    strokes: list[Stroke] = []
    step = 0
    while step < n:
        length = min(int(rng.choice(lengths)), n - step)
        muted = bool(rng.random() < muted_share)
        interval = 0 if muted and rng.random() < 0.7 else int(rng.choice(RIFF_INTERVALS))
        strokes.append(Stroke(step, length, root + interval, muted))
        step += length
    return strokes


def _drum_bar(
    rng: np.random.Generator, beat: str, start_s: float, bar_s: float, *, crash: bool, fill: bool
) -> list[Note]:
    """One bar of a beat, with a cymbal on the beats, and toms in its second half where it is a fill."""
    steps = BEATS[beat]
    cymbal = int(rng.choice([CLOSED_HAT, OPEN_HAT, RIDE, CRASH]))
    hits = [(key, step) for key, on in steps.items() for step in on if not (fill and step >= 8)]
    hits += [(cymbal, step) for step in range(0, 16, 2 if beat == "blast" else 4)]
    if crash:
        hits.append((CRASH, 0))
    if fill:
        hits += [(int(rng.choice([SNARE, *TOMS])), step) for step in range(8, 16)]
    step_s = bar_s / STEPS_PER_BAR
    return [
        Note(start_s + step * step_s, start_s + (step + 1) * step_s, key, float(rng.integers(90, 127)))
        for key, step in hits
    ]


def metal_drums(
    rng: np.random.Generator, bank: SamplerBank, split: BankSplit, song: MetalSong, n: int
) -> FloatArray:
    """One kit, compressed hard: [2, n]."""
    drums = play_drums(rng, song.drums, n, bank.drums, int(rng.choice(split.kits)))
    drums = saturated(levelled(drums, -20), rng.uniform(1.0, 6))
    return equalised(rng, drums, 4.0, rng.uniform(0.2, 0.8), rng.choice([0.0, 0.05, 0.1]))


def metal_bass(
    rng: np.random.Generator, bank: SamplerBank, split: BankSplit, song: MetalSong, n: int
) -> FloatArray:
    """The riff's lowest strings an octave below, often distorted: [2, n]."""
    notes = [
        Note(s.step * song.step_s, (s.step + s.steps * rng.uniform(0.7, 1.0)) * song.step_s, s.key - 12)
        for s in song.strokes
    ]
    bass = play_notes(notes, n, bank.bass, int(rng.choice(split.basses)), 0.0, rng.normal(0, 2))
    if rng.random() < 0.7:
        bass = saturated(bass, rng.uniform(2, 20))
    return equalised(rng, bass, 4.0)


def metal_guitars(rng: np.random.Generator, song: MetalSong, n: int) -> FloatArray:
    """Two takes of the riff, one a side, and in some songs a lead over them: [2, n]."""
    drive, colour = rng.uniform(20, 300), _cabinet(rng)
    width = rng.choice([0.0, 0.2, 0.5, 0.9])
    out = np.zeros((2, n), np.float32)
    for side in (-1, 1) if width > 0 else (0,):
        take = _distorted(_riff_take(rng, song, n), drive * rng.uniform(0.8, 1.25), colour)
        mix_at(out, take, 0.0, side * width, 1.0)
    if rng.random() < 0.35:
        lead = _distorted(_lead_take(rng, song, n), drive, _cabinet(rng))
        gain = float(np.sqrt(np.mean(out**2)) / (np.sqrt(np.mean(lead**2)) + 1e-6))
        mix_at(out, lead, 0.0, rng.uniform(-0.4, 0.4), gain * 10 ** (rng.normal(0, 3) / 20))
    return equalised(rng, out, 3.0, rng.uniform(0.2, 1.0), rng.choice([0.0, 0.03, 0.08]))


def harmony_of(song: MetalSong, duration_s: float) -> Harmony:
    """A minor key on the riff's root, for a tune over it."""
    lowest = min((stroke.key for stroke in song.strokes), default=40)
    n_bars = int(np.ceil(duration_s * song.tempo_bpm / 240)) + 1
    return Harmony(lowest % 12, True, song.tempo_bpm, (0,) * n_bars)


def _riff_take(rng: np.random.Generator, song: MetalSong, n: int) -> FloatArray:
    """The strings of one take, before the amplifier: [n]."""
    dry = np.zeros((2, n), np.float32)
    tuning = 2 ** (rng.normal(0, TAKE_TUNING_CENTS) / 1200)
    strings: dict[tuple[int, bool], FloatArray] = {}
    for stroke in song.strokes:
        if (stroke.key, stroke.muted) not in strings:
            longest_s = max(s.steps for s in song.strokes if s.key == stroke.key) * song.step_s + 0.05
            decay_s = rng.uniform(*(MUTED_DECAY_S if stroke.muted else OPEN_DECAY_S))
            strings[stroke.key, stroke.muted] = sum(
                (
                    plucked(rng, 440 * 2 ** ((stroke.key + above - 69) / 12) * tuning, longest_s, decay_s)
                    for above in POWER_CHORD
                ),
                np.zeros(int(longest_s * SAMPLE_RATE_HZ), np.float32),
            )
        sound = strings[stroke.key, stroke.muted][: int((stroke.steps * song.step_s) * SAMPLE_RATE_HZ)].copy()
        fade = min(len(sound), 400)
        sound[len(sound) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        start_s = max(0.0, stroke.step * song.step_s + rng.normal(0, TAKE_TIMING_S))
        mix_at(dry, sound, start_s, 0.0, rng.uniform(0.8, 1.0))
    return np.asarray(dry[0], np.float32)


def _lead_take(rng: np.random.Generator, song: MetalSong, n: int) -> FloatArray:
    """Fast single notes on a minor scale, with rests: [n]."""
    dry = np.zeros((2, n), np.float32)
    root = min((stroke.key for stroke in song.strokes), default=40) + 24
    scale = [root + octave + degree for octave in (0, 12) for degree in (0, 2, 3, 5, 7, 8, 10)]
    place, step = len(scale) // 2, 0
    while step * song.step_s < n / SAMPLE_RATE_HZ:
        steps = int(rng.choice([1, 1, 2, 2, 4, 8]))
        place = int(np.clip(place + rng.integers(-2, 3), 0, len(scale) - 1))
        if rng.random() < 0.85:
            length_s = steps * song.step_s
            sound = plucked(rng, 440 * 2 ** ((scale[place] - 69) / 12), length_s, rng.uniform(0.5, 2.0))
            mix_at(dry, sound, max(0.0, step * song.step_s + rng.normal(0, 0.005)), 0.0, 1.0)
        step += steps
    return np.asarray(dry[0], np.float32)


def plucked(rng: np.random.Generator, f0_hz: float, length_s: float, decay_s: float) -> FloatArray:
    """A plucked string: harmonics that fall with their number and ring shorter the higher they are: [T]."""
    n = max(1, int(length_s * SAMPLE_RATE_HZ))
    time_s = np.arange(n, dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    place = rng.uniform(0.08, 0.3)  # of the string's length, where the pick strikes
    count = int(min(24, STRING_HIGHEST_HZ / f0_hz))
    out = np.zeros(n, np.float32)
    for number in range(1, count + 1):
        amplitude = np.sin(np.pi * number * place) / number
        phase = 2 * np.pi * rng.random()
        wave = np.sin(np.float32(2 * np.pi * f0_hz * number) * time_s + np.float32(phase))
        out += np.float32(amplitude) * wave * np.exp(time_s * np.float32(-(1 + 0.15 * number) / decay_s))
    pick = min(n, int(PICK_S * SAMPLE_RATE_HZ))
    out[:pick] += (
        0.3 * rng.standard_normal(pick).astype(np.float32) * np.linspace(1, 0, pick, dtype=np.float32)
    )
    return out


@dataclass(frozen=True)
class Cabinet:
    """A loudspeaker and the microphone before it."""

    tightness_hz: float
    """Below it the amplifier's input is weaker: what keeps low chords from turning to mud when they clip."""
    low_hz: float
    high_hz: float
    presence_hz: float
    presence_db: float


def _cabinet(rng: np.random.Generator) -> Cabinet:
    return Cabinet(
        tightness_hz=np.exp(rng.uniform(np.log(150), np.log(1500))),
        low_hz=rng.uniform(70, 180),
        high_hz=rng.uniform(4000, 7500),
        presence_hz=rng.uniform(1500, 4500),
        presence_db=rng.uniform(-3, 12),
    )


def _distorted(dry: FloatArray, drive: float, cabinet: Cabinet) -> FloatArray:
    """Tighten the lows, clip hard, then the cabinet: [T]."""
    tight = sosfilt(butter(1, cabinet.tightness_hz, "high", fs=SAMPLE_RATE_HZ, output="sos"), dry)
    clipped = np.tanh(tight * (drive / (np.abs(tight).max() + 1e-6)) + 0.1) - np.tanh(0.1)
    edges = (cabinet.low_hz, cabinet.high_hz)
    speaker = sosfilt(butter(2, edges, "band", fs=SAMPLE_RATE_HZ, output="sos"), clipped)
    return peaking(speaker, cabinet.presence_hz, cabinet.presence_db)
