"""Generalised Wiener filter: ratios of the estimates at each time and frequency, applied to the mix.

Liutkus and Badeau, "Generalized Wiener filtering with fractional power spectrograms" (ICASSP 2015), without
spatial covariances. With E_i(f, k) the STFT of estimate i, |E_i| its root mean square over channels, and X
that of the mix,

    R_i = |E_i|^alpha / sum_j |E_j|^alpha,    s_i = iSTFT(R_i X + D_i),    D_i = d (E_i - R_i sum_j E_j).

alpha = 2 is the Wiener filter proper, alpha = 1 the ratio mask of magnitudes; less is softer. Ratios have the
mix's phase and know nothing of channels; D_i is what an estimate says beyond them, of which half is believed,
d = `DETAIL`, or so much less that none is above |X|: silence stays silent. The D_i add up to nothing, and so
the stems add up to the mix. Estimates are faded out first where their source is marked silent, so that their
part of the mix goes to the others by what these have at that time and frequency. A calibration
(`calibration.py`) makes other masks than R_i of the estimates, as it has learned from the song.

A stream: memory depends on the window, never on the song.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.audio import SourceFrames
from ugosa_server.marks import MarkSet, SilenceGains
from ugosa_server.models import MaskGrid
from ugosa_server.separation.calibration import MaskCalibration, band_weights
from ugosa_server.separation.mixture_consistency import require_finite
from ugosa_server.separation.stft import FRAMES_AT_ONCE, FrameSums, cut_frames, filter_window

WINDOW_S = 4096 / 44_100
HOPS_A_WINDOW = 4  # with 2, the last frames would end the song on windows of nearly 0
DETAIL = 0.5


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
    grid = wiener_grid(gains.sample_rate_hz)
    window = filter_window(grid.fft_samples, device)
    if calibration is not None:
        bands = band_weights(gains.sample_rate_hz, grid.bins).to(device)
    sums = FrameSums(window, grid.hop_samples, len(mix))
    first = 0
    for frames in _frames(_faded(estimates, gains), sums.n_frames, grid):  # [S, C, n, fft]
        last = first + frames.shape[2]
        audio = cut_frames(mix, first, last, grid.fft_samples, grid.hop_samples)  # [C, n, fft]
        spectrum = torch.fft.rfft(window * audio.to(device))
        estimated = torch.fft.rfft(window * frames.to(device))  # [S, C, n, F]
        squares = squares_of(estimated)
        masks = ratios = ratios_of(squares, exponent)
        if calibration is not None:
            masks = calibration.masks(squares, exponent, bands)
        stems = masks.unsqueeze(1) * spectrum + detail_of(estimated, ratios, spectrum)
        yield sums.add(torch.fft.irfft(stems, n=grid.fft_samples))
        first = last


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


def _frames(estimates: Iterable[NDArray[np.float32]], n_frames: int, grid: MaskGrid) -> Iterator[Tensor]:
    """Yield the STFT frames of the estimates, [S, C, n, fft]: their centres are multiples of the hop."""
    fft, hop, half = grid.fft_samples, grid.hop_samples, grid.fft_samples // 2
    group = fft + (FRAMES_AT_ONCE - 1) * hop  # samples of a full group of frames
    held, made = None, 0
    for block in estimates:
        silence = np.zeros((*block.shape[:2], half), np.float32)
        held = np.concatenate([silence if held is None else held, block], axis=-1)
        while held.shape[-1] >= group:
            yield torch.from_numpy(held[..., :group]).unfold(-1, fft, hop)
            held, made = held[..., FRAMES_AT_ONCE * hop :], made + FRAMES_AT_ONCE
    if held is not None:
        held = np.pad(held, ((0, 0), (0, 0), (0, half)))
        while made < n_frames:
            count = min(FRAMES_AT_ONCE, n_frames - made)
            yield torch.from_numpy(held[..., : fft + (count - 1) * hop]).unfold(-1, fft, hop)
            held, made = held[..., count * hop :], made + count


def squares_of(spectra: Tensor) -> Tensor:
    """Return |E_i|^2, all channels together: [S, C, n, F] -> [S, n, F]."""
    squares = torch.view_as_real(spectra).square().sum(dim=1)  # over both parts: seven times as long
    return squares[..., 0] + squares[..., 1]


def ratios_of(squares: Tensor, exponent: float) -> Tensor:
    """Compute R_i of |E_i|^2, [S, n, F] each."""
    shares = squares.pow(exponent / 2)
    total = shares.sum(dim=0)
    return torch.where(total == 0, 1 / len(shares), shares / total)


def detail_of(estimates: Tensor, ratios: Tensor, mix: Tensor) -> Tensor:
    """Compute D_i of complex estimates [S, C, n, F], their R_i [S, n, F] and the mix X [C, n, F]."""
    detail = DETAIL * (estimates - ratios.unsqueeze(1) * estimates.sum(dim=0))
    loudest = detail.abs().amax(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    return detail * (mix.abs() / loudest).clamp_max(1.0)
