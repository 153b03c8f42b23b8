"""Batches out of the song window: half the examples are mixes that never were.

Remixing stems of different songs (Uhlich et al., 2017) with random gains, places and channels multiplies the
data. What remixing destroys is given back: dynamics that all stems of a mix share, and a limiter on their
sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray
from ugosa_research.songs.pedalboard_effects import limited, peaking, saturated, shared_envelope
from ugosa_research.songs.stem_songs import StemSongs
from ugosa_research.songs.two_stem import TwoStemSongs

BASS, OTHER, VOCALS = (STEMS.index(stem) for stem in ("bass", "other", "vocals"))
ALL_STEMS = slice(None)
GROWL_DRIVES, GROWL_HZ, GROWL_DB = (1.5, 30.0), (300.0, 1000.0), (3.0, 18.0)
EPS = 1e-12
MOST_SPEED = 0.18  # logarithm; three semitones

ReadSegment = Callable[[int, slice, int, int], FloatArray]
"""(song, which stems, first sample, samples) -> those stems, [S, C, T]."""


@dataclass(frozen=True)
class AugmentOptions:
    """Distance of examples from the songs they are made of."""

    remix_share: float = 0.5
    """Share of examples whose stems come from different songs."""
    gain_db: float = 4.0
    """Standard deviation of each stem's gain."""
    speed_spread: float = 0.06
    """Standard deviation of the logarithm of the speed, which moves tempo, pitch and formants together."""
    absent_share: float = 0.08
    """Probability that a stem is left out of an example."""
    shared_dynamics_db: float = 3.0
    """Deepest common envelope, standard deviation."""
    shelf_db: float = 3.0
    """Standard deviation of each stem's tilt."""
    limiter_share: float = 0.3
    """Share of examples whose mix is driven into a limiter."""
    layered_other_share: float = 0.0
    """Share of the remixes whose `other` is that of two songs at once: real ones are denser."""
    growl_share: float = 0.0
    """Share of basses that are driven and raised in the middle: a recorded one had a quarter of its power
    between 400 and 1000 Hz, those of the bank have a twentieth."""
    stem_song_share: float = 0.0
    """Share of stems that come from real songs, see `stem_songs.py`."""
    two_stem_share: float = 0.0
    """Share of examples that are real songs of two known stems, see `two_stem.py`."""
    two_stem_remix_share: float = 0.0
    """Share of those whose guitar and backing come from different places, which makes three songs many."""
    two_stem_gain_db: float = 3.0
    """Standard deviation of the gain of each of the two."""
    two_stem_guitar_db: float = 0.0
    """Mean gain of their guitar: below 0 where it is to be learnt that guitars can be quiet."""


@dataclass(frozen=True)
class Batch:
    """Examples of one optimiser step."""

    stems: FloatArray
    """[B, S, C, T]."""
    two_stem: NDArray[np.bool_]
    """[B]: all but `other` is known only as a sum, which lies in the place of the drums."""


def make_batch(
    seed: int,
    step: int,
    songs: range,
    song_s: float,
    batch_size: int,
    segment_s: float,
    read: ReadSegment,
    options: AugmentOptions,
    two_stem: TwoStemSongs | None = None,
    stem_songs: StemSongs | None = None,
) -> Batch:
    """The batch of one step; depends on nothing but the arguments."""
    rng = np.random.default_rng((seed, step))
    n, song_samples = int(segment_s * SAMPLE_RATE_HZ), int(song_s * SAMPLE_RATE_HZ)
    examples, are_two_stem = [], []
    for _ in range(batch_size):
        real = two_stem is not None and rng.random() < options.two_stem_share
        if real:
            assert two_stem is not None
            examples.append(_two_stem_example(rng, two_stem, n, options))
        else:
            examples.append(_example(rng, songs, song_samples, n, read, options, stem_songs))
        are_two_stem.append(real)
    return Batch(np.stack(examples), np.array(are_two_stem))


def _two_stem_example(
    rng: np.random.Generator, songs: TwoStemSongs, n: int, options: AugmentOptions
) -> FloatArray:
    remixed = rng.random() < options.two_stem_remix_share
    stems = at_speed(songs.segment(rng, int(n * _speed(rng, options)) + 2, remixed=remixed), n)
    for stem in np.flatnonzero(stems.any(axis=(1, 2))):
        mean_db = options.two_stem_guitar_db if stem == OTHER else 0.0
        gain = 10 ** (rng.normal(mean_db, options.two_stem_gain_db) / 20)
        stems[stem] = _placed(rng, stems[stem], gain, options)
    return _levelled(stems)


def _example(
    rng: np.random.Generator,
    songs: range,
    song_samples: int,
    n: int,
    read: ReadSegment,
    options: AugmentOptions,
    stem_songs: StemSongs | None,
) -> FloatArray:
    def piece(stems: slice) -> FloatArray:  # of a random song at a random speed
        span = min(int(n * _speed(rng, options)) + 2, song_samples)
        known = stem_songs is not None and (stems != only(VOCALS) or bool(stem_songs.sung))
        if stem_songs is not None and known and rng.random() < options.stem_song_share:
            real = at_speed(stem_songs.segment(rng, stems, span), n)
            if stems == ALL_STEMS and not real[VOCALS].any():  # somebody else sings
                real[VOCALS] = piece(only(VOCALS))[0]
            return real
        start = int(rng.integers(song_samples - span + 1))
        return at_speed(read(int(rng.choice(songs)), stems, start, span), n)

    if rng.random() < options.remix_share:
        stems = np.concatenate([piece(only(stem)) for stem in range(len(STEMS))])  # [S, C, T]
        if rng.random() < options.layered_other_share:
            stems[OTHER] += 10 ** (rng.normal(-2, 4) / 20) * piece(only(OTHER))[0]
        stems *= shared_envelope(rng, n, rng.uniform(0, options.shared_dynamics_db))
    else:
        stems = piece(ALL_STEMS)
    if options.growl_share and rng.random() < options.growl_share:
        stems[BASS] = growling(rng, stems[BASS])
    for stem in range(len(STEMS)):
        gain = 10 ** (rng.normal(0, options.gain_db) / 20)
        if rng.random() < options.absent_share:
            gain = 0.0
        stems[stem] = _placed(rng, stems[stem], gain, options)
    if rng.random() < options.limiter_share:
        peak = np.float32(np.abs(stems.sum(axis=0)).max() + 1e-6)
        stems = limited(np.asarray(stems / peak, np.float32), rng.uniform(0, 8))
    return _levelled(stems)


def growling(rng: np.random.Generator, bass: FloatArray) -> FloatArray:
    """Harmonics where voices and guitars are, at the same power: [C, T]."""
    driven = saturated(bass, float(np.exp(rng.uniform(*np.log(GROWL_DRIVES)))))
    raised = peaking(driven, float(np.exp(rng.uniform(*np.log(GROWL_HZ)))), rng.uniform(*GROWL_DB))
    gain = np.sqrt(np.mean(bass**2) / (np.mean(raised**2) + EPS))
    return np.asarray(raised * np.float32(gain), np.float32)


def only(stem: int) -> slice:
    """One stem, as `ReadSegment` names it."""
    return slice(stem, stem + 1)


def _speed(rng: np.random.Generator, options: AugmentOptions) -> float:
    return float(np.exp(np.clip(rng.normal(0, options.speed_spread), -MOST_SPEED, MOST_SPEED)))


def _placed(rng: np.random.Generator, stem: FloatArray, gain: float, options: AugmentOptions) -> FloatArray:
    """One stem [C, T] at a new level, polarity, tilt and order of channels."""
    if rng.random() < 0.5:
        gain = -gain
    if rng.random() < 0.5:
        stem = stem[::-1]
    return np.asarray(np.float32(gain) * tilted(stem, rng.normal(0, options.shelf_db)), np.float32)


def _levelled(stems: FloatArray) -> FloatArray:
    mix_rms = np.sqrt(np.mean(stems.sum(axis=0) ** 2))
    return np.asarray(stems / max(mix_rms, 1e-4), np.float32)


def at_speed(audio: FloatArray, n_samples: int) -> FloatArray:
    """Play all of `audio` in `n_samples`, interpolating linearly: [..., T] -> [..., n_samples]."""
    places = np.linspace(0, audio.shape[-1] - 1, n_samples)
    before = np.minimum(places.astype(np.int64), audio.shape[-1] - 2)
    part = (places - before).astype(np.float32)
    out: FloatArray = np.take(audio, before + 1, axis=-1)
    earlier = np.take(audio, before, axis=-1)
    out -= earlier
    out *= part
    out += earlier
    return out


def tilted(audio: FloatArray, tilt_db: float) -> FloatArray:
    """Turn lows against highs around 1 kHz with one first-order filter: [C, T]."""
    corner = np.tan(np.pi * 1000 / SAMPLE_RATE_HZ)
    high = 10 ** (tilt_db / 20)
    # H(s) = (s high + w) / (s + w), bilinear: gain 1 in the lows, `high` in the highs.
    b = np.array([high + corner, corner - high]) / (1 + corner)
    a = np.array([1.0, (corner - 1) / (1 + corner)])
    return np.asarray(lfilter(b.astype(np.float32), a.astype(np.float32), audio), np.float32)
