"""Batches out of the song window: half the examples are mixes that never were.

Remixing stems of different songs (Uhlich et al., 2017) with random gains, places and channels multiplies the
data. What remixing destroys is given back: dynamics that all stems of a mix share, and a limiter on their
sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from ugosa_server.training.bank import SAMPLE_RATE_HZ, STEMS, FloatArray
from ugosa_server.training.effects import limited, shared_envelope

MOST_SPEED = 0.18  # logarithm; three semitones

ReadSegment = Callable[[int, int, int], FloatArray]
"""(song, first sample, samples) -> stems [S, C, T]."""


@dataclass(frozen=True)
class AugmentOptions:
    """How far examples are from the songs they are made of."""

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


def make_batch(
    seed: int,
    step: int,
    songs: range,
    song_s: float,
    batch_size: int,
    segment_s: float,
    read: ReadSegment,
    options: AugmentOptions,
) -> FloatArray:
    """The batch of one step, [B, S, C, T]; depends on nothing but the arguments."""
    rng = np.random.default_rng((seed, step))
    return np.stack([_example(rng, songs, song_s, segment_s, read, options) for _ in range(batch_size)])


def _example(
    rng: np.random.Generator,
    songs: range,
    song_s: float,
    segment_s: float,
    read: ReadSegment,
    options: AugmentOptions,
) -> FloatArray:
    n, song_samples = int(segment_s * SAMPLE_RATE_HZ), int(song_s * SAMPLE_RATE_HZ)

    def piece(stems: slice) -> FloatArray:  # of a random song at a random speed
        speed = float(np.exp(np.clip(rng.normal(0, options.speed_spread), -MOST_SPEED, MOST_SPEED)))
        span = min(int(n * speed) + 2, song_samples)
        start = int(rng.integers(song_samples - span + 1))
        return at_speed(read(int(rng.choice(songs)), start, span)[stems], n)

    if rng.random() < options.remix_share:
        stems = np.concatenate([piece(slice(stem, stem + 1)) for stem in range(len(STEMS))])  # [S, C, T]
        stems *= shared_envelope(rng, n, rng.uniform(0, options.shared_dynamics_db))
    else:
        stems = piece(slice(None))
    for stem in range(len(STEMS)):
        gain = 10 ** (rng.normal(0, options.gain_db) / 20)
        if rng.random() < options.absent_share:
            gain = 0.0
        if rng.random() < 0.5:
            gain = -gain
        if rng.random() < 0.5:
            stems[stem] = stems[stem, ::-1]
        stems[stem] = np.float32(gain) * tilted(stems[stem], rng.normal(0, options.shelf_db))
    if rng.random() < options.limiter_share:
        peak = np.float32(np.abs(stems.sum(axis=0)).max() + 1e-6)
        stems = limited(np.asarray(stems / peak, np.float32), rng.uniform(0, 8))
    mix_rms = np.sqrt(np.mean(stems.sum(axis=0) ** 2))
    return np.asarray(stems / max(mix_rms, 1e-4), np.float32)


def at_speed(audio: FloatArray, n_samples: int) -> FloatArray:
    """Play all of `audio` in `n_samples`, interpolating linearly: [..., T] -> [..., n_samples]."""
    places = np.linspace(0, audio.shape[-1] - 1, n_samples)
    before = np.minimum(places.astype(np.int64), audio.shape[-1] - 2)
    part = (places - before).astype(np.float32)
    return np.asarray(audio[..., before] * (1 - part) + audio[..., before + 1] * part, np.float32)


def tilted(audio: FloatArray, tilt_db: float) -> FloatArray:
    """Turn lows against highs around 1 kHz with one first-order filter: [C, T]."""
    corner = np.tan(np.pi * 1000 / SAMPLE_RATE_HZ)
    high = 10 ** (tilt_db / 20)
    # H(s) = (s high + w) / (s + w), bilinear: gain 1 in the lows, `high` in the highs.
    b = np.array([high + corner, corner - high]) / (1 + corner)
    a = np.array([1.0, (corner - 1) / (1 + corner)])
    return np.asarray(lfilter(b.astype(np.float32), a.astype(np.float32), audio), np.float32)
