"""Calibration of the Wiener filter to one song: which estimate is to be believed how much, band by band.

A network that leaves a trace of the cymbals in `vocals`, or gives a synthesiser too little in the treble,
does so throughout a song. With L_i = log |E_i| the filter's masks become

    M_i = exp(alpha C_i) / sum_j exp(alpha C_j),    C_i = L_i + c_i(f) + sum_j a_ij(f) D_j,
    D_j = max(L_j - max_k L_k, -`DEEPEST`).

The offsets c_i say how loud a source is to be taken, the slopes a_ij what a loud estimate of another one says
about it. Both lie on `BANDS` frequencies and are interpolated linearly between them; where all are 0 this is
the filter as it is. Only ratios of estimates count, whatever the level of the song.
`adaptation/calibration.py` learns the numbers from remixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.errors import CheckpointError

BANDS = 48
HIGHEST_BAND_HZ = 14_000.0  # above it the numbers are its own
WARP_HZ = 200.0  # bands are apart by equal steps of log(1 + f / WARP_HZ)
BAND_STEP = math.log1p(HIGHEST_BAND_HZ / WARP_HZ) / (BANDS - 1)
DEEPEST = 4.6  # nepers: 40 dB
LEAST_SQUARE = 1e-24  # of a silent estimate, where the mix has a power of 1 or less
OFFSETS, SLOPES = "calibration.offsets", "calibration.slopes"  # in an adapter


@dataclass(frozen=True)
class MaskCalibration:
    """Offsets and slopes of every source."""

    offsets: Tensor
    """c_i in nepers, [S, BANDS]."""
    slopes: Tensor
    """a_ij, [S, S, BANDS]."""

    @classmethod
    def taken_from(cls, tensors: dict[str, Tensor]) -> MaskCalibration | None:
        """Take the calibration out of the tensors of an adapter; None if there is none.

        Raises:
            CheckpointError: numbers are not finite, or not as many as there must be.
        """
        if OFFSETS not in tensors and SLOPES not in tensors:
            return None
        offsets, slopes = tensors.pop(OFFSETS, torch.empty(0)), tensors.pop(SLOPES, torch.empty(0))
        is_whole = offsets.shape[1:] == (BANDS,) and slopes.shape == (len(offsets), *offsets.shape)
        if not is_whole or not (torch.isfinite(offsets).all() and torch.isfinite(slopes).all()):
            raise CheckpointError("the adapter's calibration is not finite, or not of this version's bands")
        return cls(offsets, slopes)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors for an adapter."""
        return {OFFSETS: self.offsets, SLOPES: self.slopes}

    def masks(self, squares: Tensor, exponent: float, bands: Tensor) -> Tensor:
        """Compute masks that add up to 1.

        Args:
            squares: |E|^2 of the estimates, [S, n, F].
            exponent: alpha of the filter.
            bands: `band_weights` of the F bins.
        """
        logs = squares.clamp_min(LEAST_SQUARE).log() / 2
        levels = (logs - logs.amax(dim=0)).clamp_min(-DEEPEST)
        offsets, slopes = self.offsets.to(bands) @ bands, self.slopes.to(bands) @ bands
        believed = logs + offsets[:, None] + torch.einsum("ijf,jnf->inf", slopes, levels)
        return (exponent * believed).softmax(dim=0)


def band_weights(sample_rate_hz: int, n_bins: int) -> Tensor:
    """Return the share of each band in each bin of a spectrum up to half the sample rate, [BANDS, F]."""
    bins = np.log1p(np.linspace(0.0, sample_rate_hz / 2, n_bins) / WARP_HZ) / BAND_STEP
    rows = [np.interp(bins, np.arange(BANDS), row) for row in np.eye(BANDS)]
    return torch.from_numpy(np.stack(rows)).float()


def band_width_hz(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of the bands at some frequencies."""
    return BAND_STEP * (hz + WARP_HZ)
