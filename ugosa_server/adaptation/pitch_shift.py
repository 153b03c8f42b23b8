"""Pitch-shifted observations of a song, the augmentation of the authors' code.

The mix is shifted as a whole, without changing its tempo: the marks hold for the shifted mix as they are. A
phase vocoder (Flanagan and Golden 1966; Laroche and Dolson 1999) stretches time by 2^(n/12), and resampling
brings the length back and the pitch up. It smears attacks and leaves the formants to move with the pitch; an
observation is there to vary the input of the network, not to be played.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

FFT_SAMPLES = 2048
HOP_SAMPLES = FFT_SAMPLES // 4
SEMITONES_PER_OCTAVE = 12
MAX_SHIFT_SEMITONES = 12.0  # the authors' code


@dataclass(frozen=True)
class Observation:
    """One training example, seen once in every epoch."""

    start: int
    semitones: float
    """Pitch shift of the mix; 0 = the segment as it is."""


def observations(starts: Sequence[int], pitch_shifts: int, seed: int) -> list[Observation]:
    """Every segment as it is, and `pitch_shifts` times shifted, the same in all epochs."""
    semitones = np.random.default_rng((seed, 1)).uniform(
        -MAX_SHIFT_SEMITONES, MAX_SHIFT_SEMITONES, size=(len(starts), pitch_shifts)
    )
    return [
        Observation(start, shift)
        for start, shifts in zip(starts, semitones.tolist(), strict=True)
        for shift in (0.0, *shifts)
    ]


def pitch_shift(audio: NDArray[np.float32], semitones: float) -> NDArray[np.float32]:
    """Shift the pitch and keep length and tempo: [C, T] -> [C, T]."""
    factor = 2 ** (semitones / SEMITONES_PER_OCTAVE)
    n_frames = audio.shape[-1]
    audio = np.pad(audio, ((0, 0), (0, max(0, FFT_SAMPLES - n_frames))))  # a window at least
    window = torch.hann_window(FFT_SAMPLES)
    spectrum = torch.stft(
        torch.from_numpy(audio),
        FFT_SAMPLES,
        HOP_SAMPLES,
        window=window,
        pad_mode="constant",
        return_complex=True,
    )  # [C, F, K]
    stretched = torch.istft(
        stretch_spectrum(spectrum, factor), FFT_SAMPLES, HOP_SAMPLES, window=window
    )  # [C, ~ T * factor]
    shifted = soxr.resample(stretched.T.numpy(), factor, 1.0).T[:, :n_frames]  # [C, ~ T]
    return np.pad(shifted, ((0, 0), (0, n_frames - shifted.shape[-1]))).astype(np.float32)


def stretch_spectrum(spectrum: Tensor, factor: float) -> Tensor:
    """Stretch time by a phase vocoder to `factor` times as many frames: [C, F, K] -> [C, F, J].

    Frame j lies at k = j / factor of the input. Its magnitude is interpolated there; its phase is that of the
    frame before, advanced by what the input's phase advances by around k:

        phi_j = phi_(j-1) + w + princarg(angle X_(k+1) - angle X_k - w),   w = 2 pi hop f / n_fft
    """
    n_bins, n_frames = spectrum.shape[-2:]
    positions = torch.arange(math.ceil(n_frames * factor), dtype=torch.float64) / factor  # [J]
    before = positions.floor().long().clamp(max=n_frames - 1)
    padded = torch.nn.functional.pad(spectrum, (0, 1))
    first, second = padded[..., before], padded[..., before + 1]  # [C, F, J]
    share = (positions - before).float()
    magnitude = (1 - share) * first.abs() + share * second.abs()
    expected = (2 * math.pi * HOP_SAMPLES / FFT_SAMPLES * torch.arange(n_bins))[:, None]  # [F, 1]
    deviation = second.angle() - first.angle() - expected
    deviation -= 2 * math.pi * torch.round(deviation / (2 * math.pi))
    advance = expected + deviation
    phase = torch.cumsum(torch.cat([first[..., :1].angle(), advance[..., :-1]], dim=-1), dim=-1)
    return torch.polar(magnitude, phase)
