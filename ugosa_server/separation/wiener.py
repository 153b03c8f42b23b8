"""Generalised Wiener filter: ratios of the estimates at each time and frequency, applied to the mix.

Liutkus and Badeau, "Generalized Wiener filtering with fractional power spectrograms" (ICASSP 2015), without
spatial covariances. With E_i(f, k) the STFT of estimate i, |E_i| its root mean square over channels, and X
that of the mix,

    M_i = |E_i|^alpha / sum_j |E_j|^alpha,    s_i = iSTFT(M_i X).

alpha = 2 is the Wiener filter proper, alpha = 1 the ratio mask of magnitudes; less is softer. The phase is
the mix's, and so the stems add up to it. Estimates are faded out first where their source is marked silent,
so that their part of the mix goes to the others by what these have at that time and frequency. A calibration
(`calibration.py`) corrects |E_i| first, as it has learned from the song.

A stream: memory depends on the window, never on the song.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.audio import SourceFrames
from ugosa_server.marks import MarkSet, SilenceGains
from ugosa_server.models import MaskGrid
from ugosa_server.separation.calibration import MaskCalibration, band_weights
from ugosa_server.separation.masks import masked_stems
from ugosa_server.separation.mixture_consistency import require_finite

WINDOW_S = 4096 / 44_100
HOPS_A_WINDOW = 4  # with 2, the last frames would end the song on windows of nearly 0
FRAMES_AT_ONCE = 32


def wiener_grid(sample_rate_hz: int) -> MaskGrid:
    """Return the STFT of a sample rate: windows of 93 ms, 4096 samples at 44.1 kHz."""
    hop_samples = max(1, round(WINDOW_S * sample_rate_hz / HOPS_A_WINDOW))
    return MaskGrid(HOPS_A_WINDOW * hop_samples, hop_samples)


def wiener_filtered(
    estimates: Iterable[NDArray[np.float32]],
    mix: SourceFrames | NDArray[np.float32],
    gains: SilenceGains,
    exponent: float,
    device: torch.device | str = "cpu",
    calibration: MaskCalibration | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield filtered estimates [S, C, n]; together they have exactly T frames.

    Args:
        estimates: [S, C, n] that follow each other, T frames in all.
        mix: the song at its own rate, [T, C].
        gains: of the S estimates in order.
        exponent: alpha, above 0.
        device: where to compute.
        calibration: of the S estimates; None = none.

    Raises:
        SeparationFailedError: an estimate has a sample that is NaN or infinite.
    """
    sample_rate_hz = gains.sample_rate_hz
    grid = wiener_grid(sample_rate_hz)
    audible = _faded(estimates, gains)
    window = torch.hann_window(grid.fft_samples, dtype=torch.float64).float().to(device)
    masks_of = partial(_ratios, exponent=exponent)
    if calibration is not None:
        bands = band_weights(sample_rate_hz, grid.bins).to(device)
        masks_of = partial(calibration.masks, exponent=exponent, bands=bands)
    masks = _masks(audible, len(mix), grid, window, masks_of)
    for stems in masked_stems(masks, mix, sample_rate_hz, grid, sample_rate_hz, device):
        yield stems[:-1]  # the masks leave nothing to the residual


def filtered_window(
    estimates: Tensor,
    mix: Tensor,
    exponent: float,
    sample_rate_hz: int,
    calibration: MaskCalibration | None = None,
) -> Tensor:
    """Filter the estimates [S, C, T] of a short mix [C, T] without marks; see `wiener_filtered`."""
    nothing = SilenceGains(MarkSet(), ["" for _ in estimates], mix.shape[-1], sample_rate_hz)
    blocks = wiener_filtered(
        iter([estimates.numpy()]), mix.numpy().T, nothing, exponent, calibration=calibration
    )
    return torch.from_numpy(np.concatenate(list(blocks), axis=-1))


def _faded(estimates: Iterable[NDArray[np.float32]], gains: SilenceGains) -> Iterator[NDArray[np.float32]]:
    """Yield the estimates, checked, silent where they are marked silent."""
    start = 0
    for block in estimates:
        require_finite(block, gains.sources, start)
        stop = start + block.shape[-1]
        yield block * gains.between(start, stop)[:, None].astype(np.float32)
        start = stop


def _masks(
    estimates: Iterable[NDArray[np.float32]],
    n_samples: int,
    grid: MaskGrid,
    window: Tensor,
    masks_of: Callable[[Tensor], Tensor],
) -> Iterator[NDArray[np.float32]]:
    """Yield masks [S, F, n] of all frames, whose centres are multiples of the hop."""
    fft, hop, half = grid.fft_samples, grid.hop_samples, grid.fft_samples // 2
    n_frames = n_samples // hop + 1
    group = fft + (FRAMES_AT_ONCE - 1) * hop  # samples of a full group of frames
    held, made = None, 0
    for block in estimates:
        silence = np.zeros((*block.shape[:2], half), np.float32)
        held = np.concatenate([silence if held is None else held, block], axis=-1)
        while held.shape[-1] >= group:
            yield _masks_of_stretch(held[..., :group], window, hop, masks_of)
            held, made = held[..., FRAMES_AT_ONCE * hop :], made + FRAMES_AT_ONCE
    if held is not None:
        held = np.pad(held, ((0, 0), (0, 0), (0, half)))
        while made < n_frames:
            count = min(FRAMES_AT_ONCE, n_frames - made)
            yield _masks_of_stretch(held[..., : fft + (count - 1) * hop], window, hop, masks_of)
            held, made = held[..., count * hop :], made + count


def _masks_of_stretch(
    audio: NDArray[np.float32], window: Tensor, hop_samples: int, masks_of: Callable[[Tensor], Tensor]
) -> NDArray[np.float32]:
    """Compute M_i in a stretch of the estimates: [S, C, n samples] -> [S, F, n]."""
    frames = torch.from_numpy(audio).to(window.device).unfold(-1, len(window), hop_samples)  # [S, C, n, fft]
    spectra = torch.view_as_real(torch.fft.rfft(window * frames))  # [S, C, n, F, 2]
    squares = spectra.square_().sum(dim=1)  # over both parts too, it would take seven times as long
    return masks_of(squares[..., 0] + squares[..., 1]).transpose(1, 2).cpu().numpy()


def _ratios(squares: Tensor, exponent: float) -> Tensor:
    """Compute M_i of |E_i|^2, all channels together: [S, n, F] each."""
    shares = squares.pow_(exponent / 2)
    total = shares.sum(dim=0)
    return torch.where(total == 0, 1 / len(shares), shares / total)
