"""Figures of a model beside two systems that need no training.

Equal masks (s_hat = y / S) are what knowing nothing gives, and already gain several dB over the mix as an
estimate; the ratio mask of the true sources' spectra is about the best that masking magnitudes can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_research.songs.bank.pools import FloatArray
from ugosa_research.training.validation import median_by_source, score_songs, separated
from ugosa_server.marks import MarkSet, SilenceGains
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.network import SeparationNetwork
from ugosa_server.separation.mixture_consistency import MixtureConsistency
from ugosa_server.separation.wiener import wiener_filtered

ORACLE_FFT_SAMPLES = 4096
EPS = 1e-8

Separate = Callable[[Tensor], Tensor]
"""Stems [S, C, T] -> estimates [S, C, T]; only an oracle looks at more than their sum."""


@dataclass(frozen=True)
class Measured:
    """SDR in dB of one system."""

    system: str
    by_song_db: NDArray[np.float64]
    """[songs, S]; NaN where the source is silent."""

    @property
    def median_db(self) -> dict[str, float]:
        """Median over songs, a source each."""
        return median_by_source(self.by_song_db)


def measure(
    network: SeparationNetwork, songs: list[FloatArray], wiener_exponent: float = 0.0
) -> list[Measured]:
    """The network between what is free and what is possible, on stems [S, C, T] of each song.

    As in a job the network takes the mix at a standard deviation of 1 (of its mono mean).

    "as returned" is what a job without marks gives back, with this exponent of its Wiener filter (0: none).
    """
    network.eval()

    def returned(stems: Tensor) -> Tensor:
        return as_returned(
            separated(network, stems.sum(dim=0)), stems.sum(dim=0), network.config, wiener_exponent
        )

    systems: dict[str, Separate] = {
        "equal masks": equal_masks,
        "network": lambda stems: separated(network, stems.sum(dim=0)),
        "as returned": returned,
        "oracle ratio masks": ratio_masks,
    }
    return [Measured(name, score_songs(songs, separate)) for name, separate in systems.items()]


def as_returned(
    estimates: Tensor, mix: Tensor, config: NetworkConfig, wiener_exponent: float = 0.0
) -> Tensor:
    """Estimates [S, C, T] of a mix [C, T] after the Wiener filter, if any, and mixture consistency."""
    frames = np.ascontiguousarray(mix.T.numpy())
    blocks: Iterator[FloatArray] = iter([estimates.numpy()])
    gains = SilenceGains(MarkSet(), config.sources, len(frames), config.sample_rate_hz)
    if wiener_exponent > 0:
        blocks = wiener_filtered(blocks, frames, gains, wiener_exponent)
    consistency = MixtureConsistency(frames, gains)
    return torch.from_numpy(np.concatenate(list(consistency.process(blocks)), axis=-1))


def equal_masks(stems: Tensor) -> Tensor:
    """Every source is the mix divided by S: [S, C, T] -> [S, C, T]."""
    return (stems.sum(dim=0) / len(stems)).expand_as(stems)


def ratio_masks(stems: Tensor) -> Tensor:
    """|S_i| / sum_j |S_j| on the mix's spectrum, with the true S_i: [S, C, T] -> [S, C, T]."""
    window = torch.hann_window(ORACLE_FFT_SAMPLES)
    flat = stems.flatten(0, 1)  # [S * C, T]
    spectra = torch.stft(flat, ORACLE_FFT_SAMPLES, window=window, return_complex=True)
    spectra = spectra.view(*stems.shape[:2], *spectra.shape[1:])  # [S, C, F, frames]
    magnitudes = spectra.abs()
    masked = spectra.sum(dim=0) * magnitudes / (magnitudes.sum(dim=0) + EPS)
    audio = torch.istft(masked.flatten(0, 1), ORACLE_FFT_SAMPLES, window=window, length=stems.shape[-1])
    return audio.view_as(stems)
