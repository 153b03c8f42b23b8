"""A sampler bank of a few synthetic sounds, made in milliseconds, with something held out of each kind."""

import numpy as np

from ugosa_research.songs.bank.pools import (
    DRUM_ROLES,
    SAMPLE_RATE_HZ,
    STEMS,
    DrumHits,
    Grooves,
    Loops,
    PitchedNotes,
    SamplerBank,
    Syllables,
    pool_of,
    save_table,
)

KITS = ("plain", "Audiophob")
INSTRUMENTS = ("fluid:0", "TimGM6mb.sf2:0")
VOICES = ("singer", "erithacus")
LOOPS = ("guitar:song", "drums:break", "guitar:War of freedom", "drums:mika")
STYLES = ("casio/Rock", "yamaha/Pop")
SYLLABLE_HZ = 200.0


def tiny_bank():
    rng = np.random.default_rng(0)
    return SamplerBank(
        _drums(rng), _notes((28, 40)), _notes((48, 60, 72)), _syllables(), _loops(rng), _grooves()
    )


def save_tiny_bank(folder):
    bank = tiny_bank()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("drums", "bass", "other", "syllables", "loops", "grooves"):
        save_table(folder, name, getattr(bank, name))
    return bank


def tone(f0_hz, seconds, harmonics=8):
    phase = 2 * np.pi * f0_hz * np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    wave = sum(np.cos(number * phase) / number for number in range(1, harmonics + 1))
    return (0.2 * wave).astype(np.float32)


def _drums(rng):
    roles = [DRUM_ROLES.index(role) for role in ("kick", "snare", "closed_hat")]
    decay = np.exp(-np.arange(4000) / 800)
    hits = [(0.5 * decay * rng.uniform(-1, 1, 4000)).astype(np.float32) for _ in range(6)]
    return DrumHits(pool_of(hits), np.array(roles * 2), np.repeat([0, 1], 3), KITS)


def _notes(keys):
    clips = [tone(440 * 2 ** ((key - 69) / 12), 0.6) for _ in INSTRUMENTS for key in keys]
    owners = np.repeat(np.arange(len(INSTRUMENTS)), len(keys))
    return PitchedNotes(pool_of(clips), np.array(keys * 2), owners, np.array([0, 33]), INSTRUMENTS)


def _syllables():
    clip = tone(SYLLABLE_HZ, 0.5)
    period = SAMPLE_RATE_HZ / SYLLABLE_HZ
    marks = np.round(np.arange(1, int(len(clip) / period) - 1) * period).astype(np.int64)
    return Syllables(
        audio=pool_of([clip, clip]),
        onsets=np.array([1000, 1000]),
        vowel_starts=np.array([3000, 3000]),
        mark_starts=np.array([0, len(marks)]),
        mark_counts=np.array([len(marks)] * 2),
        marks=np.concatenate([marks, marks]),
        f0_hz=np.array([SYLLABLE_HZ] * 2, np.float32),
        voices=np.array([0, 1]),
        voice_names=VOICES,
    )


def _loops(rng):
    clips = [(0.1 * rng.standard_normal(SAMPLE_RATE_HZ)).clip(-1, 1).astype(np.float32) for _ in LOOPS]
    stems = np.array([STEMS.index("other" if name.startswith("guitar") else "drums") for name in LOOPS])
    return Loops(pool_of(clips), stems, LOOPS)


def _grooves():
    """Two patterns of 8 bars at 120 bpm: kick, snare and hat; a bass; a piano chord a bar."""
    events, parts = [], []
    for pattern in range(2):
        drums = [(beat * 240, 60, (36, 38)[beat % 2], 100) for beat in range(32)]
        bass = [(beat * 240, 200, 36, 100) for beat in range(32)]
        piano = [(bar * 960, 900, key, 90) for bar in range(8) for key in (60, 64, 67)]
        for program, notes in ((-1, drums), (33, bass), (0, piano)):
            parts.append((pattern, program, len(events), len(notes)))
            events += notes
    return Grooves(
        events=np.array(events),
        parts=np.array(parts),
        keys=np.array([0, 0]),
        minor=np.array([0, 0]),
        tempi_bpm=np.array([120, 120], np.float32),
        degrees=np.array([[0, 4, 5, 3] * 2] * 2),
        names=STYLES,
    )
