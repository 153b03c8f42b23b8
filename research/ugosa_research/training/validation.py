"""Validation on songs of held-out singers, kits, instruments and styles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_research.songs.bank.pools import STEMS, FloatArray, SamplerBank
from ugosa_research.songs.bank.split import validation_split
from ugosa_research.songs.generator import generate_song
from ugosa_server.models.network import SeparationNetwork
from ugosa_server.pipeline.model_input import SILENT_STD

VALIDATION_SEED = 9_000_000_000  # far from the seeds of training songs
SILENT_DB = -50.0  # a source this far below the mix has no meaningful SDR
EPS = 1e-12


@dataclass(frozen=True)
class ValidationFigure:
    """Plain SDR on held-out songs."""

    sdr_db: dict[str, float]
    """Median over songs, a source each; NaN where a source is silent in all of them."""
    sdr_by_song_db: NDArray[np.float64]
    """[songs, S]; NaN where the source is silent."""

    @property
    def mean_db(self) -> float:
        """Mean over the sources: what decides which weights are kept."""
        return float(np.nanmean(list(self.sdr_db.values())))


def validation_songs(bank: SamplerBank, count: int, song_s: float) -> list[FloatArray]:
    """Held-out songs, the same ones every time: stems [S, C, T] each."""
    split = validation_split(bank)
    return [generate_song(bank, split, VALIDATION_SEED + song, song_s) for song in range(count)]


def cached_validation_songs(bank: SamplerBank, count: int, song_s: float, path: Path) -> list[FloatArray]:
    """`validation_songs`, kept in a file."""
    if not path.exists():
        np.save(path, np.stack(validation_songs(bank, count, song_s)).astype(np.float16))
    songs = np.load(path)
    return [song.astype(np.float32) for song in songs[:count]]


def sdr_db(stems: Tensor, estimates: Tensor) -> Tensor:
    """SDR = 10 log10(sum s^2 / sum (s - s_hat)^2) over channels and time: [S, C, T] twice -> [S]."""
    signal = stems.square().sum(dim=(-2, -1))
    error = (stems - estimates).square().sum(dim=(-2, -1))
    return 10 * torch.log10((signal + EPS) / (error + EPS))


def median_by_source(by_song_db: NDArray[np.float64]) -> dict[str, float]:
    """Median over the songs in which a source sounds: [songs, S] -> one figure a source."""
    columns = (column[~np.isnan(column)] for column in by_song_db.T)
    return {
        source: float(np.median(column)) if len(column) else float("nan")
        for source, column in zip(STEMS, columns, strict=True)
    }


def score_songs(songs: list[FloatArray], separate: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
    """SDR of `separate` (stems to estimates) by song: [songs, S]; NaN where a source is silent in a song."""
    rows = []
    for song in songs:
        stems = torch.from_numpy(song)
        with torch.inference_mode():
            scores = sdr_db(stems, separate(stems)).double()
        mix_power = stems.sum(dim=0).square().mean()
        level_db = 10 * torch.log10(stems.square().mean(dim=(-2, -1)) / mix_power + EPS)
        rows.append(torch.where(level_db < SILENT_DB, torch.nan, scores).numpy())
    return np.stack(rows)


def separated(network: SeparationNetwork, mix: Tensor) -> Tensor:
    """Estimates of a mix that comes at a standard deviation of 1, as in a job: [C, T] -> [S, C, T]."""
    std = mix.mean(dim=0).std()
    std = torch.where(std < SILENT_STD, 1.0, std)
    estimates = network.separate((mix / std)[None].to(next(network.parameters()).device))[0]
    return std * estimates.float().cpu()


def validate(network: SeparationNetwork, songs: list[FloatArray], precision: torch.dtype) -> ValidationFigure:
    """Separate every song whole and score it."""
    network.eval()
    device = next(network.parameters()).device
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        table = score_songs(songs, lambda stems: separated(network, stems.sum(dim=0)))
    return ValidationFigure(median_by_source(table), table)
