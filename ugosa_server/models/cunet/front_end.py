"""Input values and masks of a Conditioned U-Net: STFT, frequency warping, values, masks and back.

    mix [.., T] -> spectrum -> magnitude + 1e-4 -> warp -> values -> network -> logits -> masks -> unwarp
    spectrum x masks -> iSTFT

The grid is the paper's (section 3.1): 11,025 Hz, Hann window of 1022, hop of 256, centred frames; 65,535
samples make 512 bins by 256 frames. Shapes: batch B, classes K, bins F (512 linear, 256 warped), frames T'.
All songs are brought to one level, MIX_RMS, since the values of an STFT depend on it and a recording's level
is chance.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ugosa_server.models.config import MaskKind
from ugosa_server.models.cunet.config import GRID, LINEAR_BINS, LOG_BINS, ConditionedUNetConfig

FFT_SAMPLES = GRID.fft_samples
HOP_SAMPLES = GRID.hop_samples
MAGNITUDE_FLOOR = 1e-4  # added to every magnitude; published code
DB_FACTOR = 65536.0  # log1p(65536 x) / log1p(65536); published code
MIN_SPAN = 1e-3  # of such values; rounding errors of silence are not scaled up
WARP_BASE = 21.0  # published code
MIX_RMS = 0.1  # -20 dBFS: level of the input, around which training mixes vary
SHARED_FLOOR = 0.01  # a bin in which all masks are below 0.1 mostly goes to no source
SILENT_LOGIT = -1e4  # its sigmoid is exactly 0 in float32, and so is its cross entropy with a target of 0


def spectrum(audio: Tensor) -> Tensor:
    """Compute the STFT of audio [..., T], T // 256 + 1 centred frames: complex [..., 512, T'].

    Before and after the audio there is silence, so that the frames of a cut are those of the song but at its
    edges.
    """
    flat = audio.reshape(-1, audio.shape[-1])
    frames = torch.stft(
        flat, FFT_SAMPLES, HOP_SAMPLES, window=_window(audio), pad_mode="constant", return_complex=True
    )
    return frames.reshape(*audio.shape[:-1], *frames.shape[-2:])


def waveform(frames: Tensor, n_samples: int) -> Tensor:
    """Invert `spectrum`: complex [..., 512, T'] -> [..., n_samples]."""
    flat = frames.reshape(-1, *frames.shape[-2:])
    audio = torch.istft(flat, FFT_SAMPLES, HOP_SAMPLES, window=_window(frames.real), length=n_samples)
    return audio.reshape(*frames.shape[:-2], n_samples)


def warp(bins: Tensor) -> Tensor:
    """Resample linear bins on the logarithmic axis: [..., 512, T'] -> [..., 256, T'].

    Row y of [-1, 1] is read, linearly interpolated, at gy = (21^((y + 1) / 2) - 11) / 10.
    """
    return _matrix("warp", bins.dtype, bins.device) @ bins


def unwarp(bins: Tensor) -> Tensor:
    """Resample warped bins on the linear axis: [..., 256, T'] -> [..., 512, T'].

    Row y of [-1, 1] is read, linearly interpolated, at gy = 2 ln(10 y + 11) / ln(21) - 1.
    """
    return _matrix("unwarp", bins.dtype, bins.device) @ bins


def magnitudes(frames: Tensor, config: ConditionedUNetConfig) -> Tensor:
    """Compute magnitudes on the network's frequency axis: complex [..., 512, T'] -> [..., F, T'].

    The floor is included. Those of the mix make the input (`values`) and, with those of the sources, the
    targets.
    """
    found = frames.abs() + MAGNITUDE_FLOOR
    return warp(found) if config.frequency_scale == "log" else found


def values(mix_magnitudes: Tensor, config: ConditionedUNetConfig) -> Tensor:
    """Compute the network's input from `magnitudes` of mixes: [B, F, T'] -> [B, 1, F, T'].

    "db": v = log1p(65536 m) / log1p(65536), scaled so that each window reaches from -1 to 1 (silence is -1
    throughout). "log": v = ln m.
    """
    if config.value_scale == "log":
        return mix_magnitudes.log().unsqueeze(1)
    level = torch.log1p(DB_FACTOR * mix_magnitudes) / math.log1p(DB_FACTOR)
    low = level.amin(dim=(-2, -1), keepdim=True)
    span = level.amax(dim=(-2, -1), keepdim=True) - low
    scaled = 2 * (level - low) / span.clamp(min=MIN_SPAN) - 1
    return scaled.unsqueeze(1)  # [B, 1, F, T']


def masks_of_logits(logits: Tensor, config: ConditionedUNetConfig, *, kind: MaskKind = "soft") -> Tensor:
    """Compute masks in [0, 1] on the linear frequency axis: [B, K, F, T'] -> [B, K, 512, T'].

    Soft masks are sigma(l). For rectified logits, which are never below 0, they are 2 sigma(l) - 1 if the
    targets were binary masks, and the logits themselves, up to 1, if they were ratio masks: so the authors
    trained them. Hard masks are 1 where sigma(l) > 0.5. Shared ones are a Wiener filter of the soft ones,
    M_i = m_i^2 / (sum_j m_j^2 + SHARED_FLOOR): a source with a mask near 1 gets nearly all of a bin, and a
    bin in which all masks are low goes to no source.
    """
    if kind == "hard":
        masks = (logits > 0).to(logits.dtype)
    elif config.rectified_logits and config.mask == "ratio":
        masks = logits.clamp(max=1.0)
    elif config.rectified_logits:
        masks = (2 * torch.sigmoid(logits) - 1).clamp(min=0.0)
    else:
        masks = torch.sigmoid(logits)
    if kind == "shared":
        powers = masks.square()
        masks = powers / (powers.sum(dim=1, keepdim=True) + SHARED_FLOOR)
    return unwarp(masks) if config.frequency_scale == "log" else masks


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(FFT_SAMPLES, dtype=like.dtype, device=like.device)


@lru_cache(maxsize=16)
def _matrix(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return interpolation as a matrix [rows, columns]: deterministic, on a GPU too."""
    rows, columns = (LOG_BINS, LINEAR_BINS) if name == "warp" else (LINEAR_BINS, LOG_BINS)
    y = np.linspace(-1.0, 1.0, rows)
    if name == "warp":
        grid = (WARP_BASE ** ((y + 1) / 2) - 11) / 10
    else:
        grid = 2 * np.log(10 * y + 11) / math.log(WARP_BASE) - 1
    position = ((grid + 1) / 2 * (columns - 1)).clip(0, columns - 1)
    below = np.minimum(position.astype(int), columns - 2)
    share = position - below
    matrix = np.zeros((rows, columns))
    matrix[np.arange(rows), below] = 1 - share
    matrix[np.arange(rows), below + 1] = share
    with torch.inference_mode(mode=False):  # kept, and then also used where gradients are
        return torch.from_numpy(matrix).to(device=device, dtype=dtype)
