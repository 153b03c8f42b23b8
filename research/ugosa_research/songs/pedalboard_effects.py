"""The studio: levels, saturation, equaliser, room, and dynamics that all stems share. Audio is [C, T]."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import lfilter

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray

EQ_BANDS_HZ = (30, 100, 300, 1000, 3000, 8000, 22050)
FLAT_DB = (0.0,) * len(EQ_BANDS_HZ)
ROOM_LOW_HZ, ROOM_HIGH_HZ = 200, 7000
DECAY_60_DB = 6.9  # ln(1000): amplitude falls by 60 dB in one reverberation time
LEVEL_WINDOW_S = 0.4
GATE_SHARE = 0.05  # windows below this share of the loudest do not count for the level
MOST_GAIN = 60.0
LIMITER_BLOCK = 64
CEILING = 0.95


def levelled(audio: FloatArray, rms_db: float) -> FloatArray:
    """Set the level of the sounding part; silence stays silence."""
    window = int(LEVEL_WINDOW_S * SAMPLE_RATE_HZ)
    power = (audio**2).mean(axis=0)  # [T]
    n = max(1, len(power) // window)
    levels = np.sqrt(np.array([block.mean() for block in np.array_split(power, n)]))
    levels = levels[levels > GATE_SHARE * levels.max()]
    if not len(levels) or levels.max() < 3e-5:
        return audio
    gain = 10 ** (rms_db / 20) / np.sqrt(np.mean(levels**2))
    return audio * np.float32(min(gain, MOST_GAIN))


def saturated(audio: FloatArray, drive: float) -> FloatArray:
    """Soft clipping, tanh(drive x) with x at full scale."""
    return np.asarray(np.tanh(audio * np.float32(drive / (np.abs(audio).max() + 1e-6))) * 0.5, np.float32)


def peaking(audio: FloatArray, centre_hz: float, gain_db: float) -> FloatArray:
    """Raise or lower a band an octave and a half wide (Bristow-Johnson's cookbook, Q of 1): [..., T]."""
    amplitude, omega = 10 ** (gain_db / 40), 2 * np.pi * centre_hz / SAMPLE_RATE_HZ
    alpha = np.sin(omega) / 2
    b = np.array([1 + alpha * amplitude, -2 * np.cos(omega), 1 - alpha * amplitude])
    a = np.array([1 + alpha / amplitude, -2 * np.cos(omega), 1 - alpha / amplitude])
    return np.asarray(lfilter(b / a[0], a / a[0], audio), np.float32)


def widened(audio: FloatArray, width: float) -> FloatArray:
    """Scale the side signal; 0 is mono."""
    middle = audio.mean(axis=0, keepdims=True)
    return np.asarray(middle + (audio - middle) * np.float32(width), np.float32)


def equalised(
    rng: np.random.Generator,
    audio: FloatArray,
    spread_db: float,
    reverberation_s: float = 0.0,
    wet: float = 0.0,
    curve_db: tuple[float, ...] = FLAT_DB,
) -> FloatArray:
    """A random equaliser around `curve_db` and, where `wet` is above 0, a room of decaying noise."""
    tail = int(reverberation_s * SAMPLE_RATE_HZ) if wet > 0 else 0
    n_fft = next_fast_len(audio.shape[1] + tail + 1, real=True)
    frequencies_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, n_fft // 2 + 1)
    band_db = np.array(curve_db) + rng.normal(0, spread_db, len(EQ_BANDS_HZ))
    gains_db = np.interp(np.log(frequencies_hz + 30), np.log(EQ_BANDS_HZ), band_db)
    response = (10 ** (gains_db / 20)).astype(np.complex64)
    if wet > 0:
        decay = np.exp(-DECAY_60_DB * np.arange(tail) / tail)
        room = (rng.standard_normal((audio.shape[0], tail)) * decay).astype(np.float32)
        room /= np.sqrt((room**2).sum(axis=1, keepdims=True))
        band = (frequencies_hz > ROOM_LOW_HZ) & (frequencies_hz < ROOM_HIGH_HZ)
        response = response * (1 + np.float32(wet) * rfft(room, n_fft) * band)
    spectrum = rfft(audio.astype(np.float32, copy=False), n_fft) * response
    return np.asarray(irfft(spectrum, n_fft)[:, : audio.shape[1]], np.float32)


def shared_envelope(rng: np.random.Generator, n_samples: int, depth_db: float) -> FloatArray:
    """A gain that wanders through the song, for all stems alike: real stems swell together: [T]."""
    n = max(2, int(n_samples / SAMPLE_RATE_HZ / rng.uniform(0.25, 1.5)))
    points_db = rng.normal(0, depth_db, n + 1)
    places = np.linspace(0, n, n_samples, dtype=np.float32)
    return np.asarray(10 ** (np.interp(places, np.arange(n + 1), points_db) / 20), np.float32)


def ducked(audio: FloatArray, key: FloatArray, depth: float) -> FloatArray:
    """Lower `audio` where `key` is loud, as bus compressors and side chains do."""
    level = _smooth_level(key)
    return np.asarray(audio * (1 - np.float32(depth) * level / (level.max() + 1e-6)), np.float32)


def limited(stems: FloatArray, drive_db: float) -> FloatArray:
    """Bring up all stems and limit their sum with one gain, so that they still add up: [S, C, T]."""
    stems = stems * np.float32(10 ** (drive_db / 20))
    peaks = np.abs(stems.sum(axis=0)).max(axis=0)  # [T]
    n_blocks = -(-len(peaks) // LIMITER_BLOCK)
    blocks = (
        np.pad(peaks, (0, n_blocks * LIMITER_BLOCK - len(peaks))).reshape(n_blocks, LIMITER_BLOCK).max(axis=1)
    )
    over = maximum_filter1d(np.maximum(1.0, blocks / CEILING), 25)
    over = uniform_filter1d(over, 25)  # within the span of the maximum filter, so no peak escapes
    centres = (np.arange(n_blocks) + 0.5) * LIMITER_BLOCK
    gain = 1 / np.interp(np.arange(len(peaks)), centres, over)
    return np.asarray(stems * gain.astype(np.float32), np.float32)


def _smooth_level(audio: FloatArray) -> FloatArray:
    level = np.abs(audio).max(axis=0)
    coarse = np.add.reduceat(level, np.arange(0, len(level), LIMITER_BLOCK)) / LIMITER_BLOCK
    smooth = uniform_filter1d(coarse, 60)  # about 90 ms
    places = np.arange(len(smooth)) * LIMITER_BLOCK
    return np.asarray(np.interp(np.arange(len(level)), places, smooth), np.float32)
