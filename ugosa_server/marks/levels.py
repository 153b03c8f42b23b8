"""Levels of the mix and of every estimated source along a song, kept after each pass of the network.

Root-mean-square levels in consecutive hops of `HOP_S`, all channels together, kept beside a job's stems as
JSON. A few hundred kilobytes say where a source seems to play; suggestions and lint read nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio import SourceFrames
from ugosa_server.files import replacing

HOP_S = 0.05
FLOOR_DBFS = -120.0  # digital silence; JSON knows no infinity
DECIMALS = 1  # of a decibel


@dataclass(frozen=True)
class SongLevels:
    """Levels of one song and of what one network made of it."""

    model_sha256: str
    """Hex, of the network's checkpoint."""
    sample_rate_hz: int
    frames: int
    hop_frames: int
    """Frames of one hop; the last hop may be shorter."""
    mix_dbfs: tuple[float, ...]
    """Levels of the mix, [K]."""
    sources_dbfs: dict[str, tuple[float, ...]]
    """Levels of each source's estimate, [K], in the model's order."""


class LevelMeter:
    """Measures a stream of estimates of the whole song next to its mix."""

    def __init__(self, sources: Sequence[str], mix: SourceFrames, sample_rate_hz: int) -> None:
        self._sources, self._mix, self._sample_rate_hz = tuple(sources), mix, sample_rate_hz
        self._hop_frames = max(1, round(HOP_S * sample_rate_hz))
        n_hops = -(-len(mix) // self._hop_frames)
        self._energy = np.zeros((len(sources) + 1, n_hops))  # [S + 1, K]; the last row is the mix
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all estimates, [S, C, n]; rows beyond the sources are passed over."""
        first, stop = self._position, self._position + block.shape[-1]
        squares = np.empty((len(self._energy), stop - first))  # [S + 1, n]
        squares[:-1] = np.square(block[: len(self._sources)], dtype=np.float64).mean(axis=1)
        squares[-1] = np.square(self._mix[first:stop], dtype=np.float64).mean(axis=1)
        hops = np.arange(first, stop) // self._hop_frames
        edges = np.flatnonzero(np.diff(hops, prepend=-1))  # where a hop begins in this block
        self._energy[:, hops[edges]] += np.add.reduceat(squares, edges, axis=1)
        self._position = stop

    def levels(self, model_sha256: str) -> SongLevels:
        """Return the levels measured so far, which must be the whole song."""
        n_hops = self._energy.shape[1]
        lengths = np.full(n_hops, self._hop_frames)
        lengths[-1] = len(self._mix) - (n_hops - 1) * self._hop_frames
        floor = 10.0 ** (FLOOR_DBFS / 10)
        dbfs = np.round(10.0 * np.log10(np.maximum(self._energy / lengths, floor)), DECIMALS)
        rows = [tuple(map(float, row)) for row in dbfs]
        return SongLevels(
            model_sha256,
            self._sample_rate_hz,
            len(self._mix),
            self._hop_frames,
            rows[-1],
            dict(zip(self._sources, rows[:-1], strict=True)),
        )


def save_levels(path: Path, levels: SongLevels) -> None:
    """Write levels, whole or not at all."""
    with replacing(path) as file:
        file.write(msgspec.json.encode(levels))


def load_levels(path: Path) -> SongLevels:
    """Read what `save_levels` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=SongLevels)
