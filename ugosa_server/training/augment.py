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

ReadSegment = Callable[[int, int, int], FloatArray]
"""(song, first sample, samples) -> stems [S, C, T]."""


@dataclass(frozen=True)
class AugmentOptions:
    """How far examples are from the songs they are made of."""

    remix_share: float = 0.5
    """Share of examples whose stems come from different songs."""
    gain_db: float = 4.0
    """Standard deviation of each stem's gain."""
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
    n = int(segment_s * SAMPLE_RATE_HZ)
    last_start = int(song_s * SAMPLE_RATE_HZ) - n
    remixed = rng.random() < options.remix_share
    if remixed:
        stems = np.stack(
            [
                read(int(rng.choice(songs)), int(rng.integers(last_start + 1)), n)[stem]
                for stem in range(len(STEMS))
            ]
        )  # [S, C, T]
        stems *= shared_envelope(rng, n, rng.uniform(0, options.shared_dynamics_db))
    else:
        stems = read(int(rng.choice(songs)), int(rng.integers(last_start + 1)), n)
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


def tilted(audio: FloatArray, tilt_db: float) -> FloatArray:
    """Turn lows against highs around 1 kHz with one first-order filter: [C, T]."""
    corner = np.tan(np.pi * 1000 / SAMPLE_RATE_HZ)
    high = 10 ** (tilt_db / 20)
    # H(s) = (s high + w) / (s + w), bilinear: gain 1 in the lows, `high` in the highs.
    b = np.array([high + corner, corner - high]) / (1 + corner)
    a = np.array([1.0, (corner - 1) / (1 + corner)])
    return np.asarray(lfilter(b.astype(np.float32), a.astype(np.float32), audio), np.float32)
