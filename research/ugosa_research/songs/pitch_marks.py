"""Pitch and pitch marks of a single voice: what PSOLA needs to know of a syllable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray

HOP_SAMPLES = 220  # 5 ms
WINDOW_SAMPLES = 1764  # 40 ms: two periods at 50 Hz
LOWEST_HZ, HIGHEST_HZ = 70.0, 800.0
VOICED_CORRELATION = 0.6
FIRST_PEAK_SHARE = 0.9  # the shortest lag this close to the best one wins: it avoids octave-down errors
MARK_LOWPASS_HZ = 900
SNAP_SHARE = 0.18  # of a period, to each side


def pitch_track_hz(audio: FloatArray) -> NDArray[np.float64]:
    """F0 every 5 ms by normalised autocorrelation, 0 where unvoiced: [T] -> [frames]."""
    if len(audio) < 2 * WINDOW_SAMPLES:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(audio, 2 * WINDOW_SAMPLES)[::HOP_SAMPLES].astype(
        np.float64
    )
    frames = frames - frames.mean(axis=1, keepdims=True)  # [frames, 2 W]
    n_fft = 4 * WINDOW_SAMPLES
    head = np.fft.rfft(frames[:, :WINDOW_SAMPLES], n_fft)
    correlation = np.fft.irfft(head.conj() * np.fft.rfft(frames, n_fft), n_fft)  # [frames, lags]
    lags = np.arange(int(SAMPLE_RATE_HZ / HIGHEST_HZ), int(SAMPLE_RATE_HZ / LOWEST_HZ))
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    delayed = energy[:, lags + WINDOW_SAMPLES] - energy[:, lags]
    normal = correlation[:, lags] / np.sqrt(energy[:, [WINDOW_SAMPLES]] * delayed + 1e-9)  # [frames, lags]
    inner = normal[:, 1:-1]
    peaks = (inner >= normal[:, :-2]) & (inner > normal[:, 2:])
    best = np.where(peaks, inner, 0).max(axis=1, keepdims=True)
    first = np.argmax(peaks & (inner >= FIRST_PEAK_SHARE * best), axis=1) + 1
    loud = energy[:, WINDOW_SAMPLES] > 1e-3 * energy[:, WINDOW_SAMPLES].max()
    voiced = (best[:, 0] > VOICED_CORRELATION) & loud
    return np.where(voiced, SAMPLE_RATE_HZ / lags[first], 0.0)


def pitch_marks(audio: FloatArray, f0_hz: NDArray[np.float64]) -> NDArray[np.int64]:
    """One mark a glottal period in the voiced stretches, snapped to a peak of the low-passed wave."""
    wave = sosfiltfilt(butter(2, MARK_LOWPASS_HZ, fs=SAMPLE_RATE_HZ, output="sos"), audio)
    if abs(wave.min()) > wave.max():
        wave = -wave
    marks: list[int] = []
    voiced = np.concatenate([[False], f0_hz > 0, [False]])
    edges = np.flatnonzero(np.diff(voiced.astype(int))).reshape(-1, 2)
    for first, last in edges:
        if (last - first) * HOP_SAMPLES < 0.03 * SAMPLE_RATE_HZ:
            continue
        marks += _marks_of_stretch(wave, f0_hz, int(first), int(last))
    return np.array(marks, np.int64)


def _marks_of_stretch(
    wave: NDArray[np.float64], f0_hz: NDArray[np.float64], first: int, last: int
) -> list[int]:
    start, end = first * HOP_SAMPLES, min(last * HOP_SAMPLES + WINDOW_SAMPLES, len(wave) - 1)
    period = SAMPLE_RATE_HZ / f0_hz[first]
    mark = start + int(np.argmax(wave[start : min(end, start + int(1.2 * period))]))
    marks = []
    while mark < end:
        marks.append(mark)
        frame = min(max(mark // HOP_SAMPLES, first), last - 1)
        period = SAMPLE_RATE_HZ / f0_hz[frame]
        low, high = int(mark + (1 - SNAP_SHARE) * period), int(mark + (1 + SNAP_SHARE) * period) + 1
        if high >= len(wave):
            break
        mark = low + int(np.argmax(wave[low:high]))
    return marks
