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
from ugosa_server.marks.model import Interval

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

    def hops_of(self, span: Interval) -> slice:
        """Return the hops that hold frames of a span."""
        return slice(span[0] // self.hop_frames, -(-span[1] // self.hop_frames))

    def loudest_dbfs(self, source: str, span: Interval) -> float:
        """Return the highest level of a source's estimate in a span."""
        return max(self.sources_dbfs[source][self.hops_of(span)])


class HopPowers:
    """Mean squares of the rows of a stream, in hops of equal length; the last hop may be shorter."""

    def __init__(self, n_rows: int, n_frames: int, hop_frames: int) -> None:
        self.hop_frames, self.n_hops = hop_frames, -(-n_frames // hop_frames)
        self._energy = np.zeros((n_rows, self.n_hops))
        self._n_frames, self._position = n_frames, 0

    def add(self, squares: NDArray[np.float64]) -> None:
        """Take the squares of the next frames, [rows, n]."""
        first, self._position = self._position, self._position + squares.shape[1]
        hops = np.arange(first, self._position) // self.hop_frames
        edges = np.flatnonzero(np.diff(hops, prepend=-1))  # where a hop begins in this block
        self._energy[:, hops[edges]] += np.add.reduceat(squares, edges, axis=1)

    def powers(self) -> NDArray[np.float64]:
        """Return the mean squares of the whole stream, [rows, K]."""
        lengths = np.full(self.n_hops, self.hop_frames)
        lengths[-1] = self._n_frames - (self.n_hops - 1) * self.hop_frames
        powers: NDArray[np.float64] = self._energy / lengths
        return powers


class LevelMeter:
    """Measures a stream of estimates of the whole song next to its mix."""

    def __init__(self, sources: Sequence[str], mix: SourceFrames, sample_rate_hz: int) -> None:
        self._sources, self._mix, self._sample_rate_hz = tuple(sources), mix, sample_rate_hz
        self._powers = HopPowers(len(sources) + 1, len(mix), max(1, round(HOP_S * sample_rate_hz)))
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all estimates, [S, C, n]; rows beyond the sources are passed over."""
        first, self._position = self._position, self._position + block.shape[-1]
        squares = np.empty((len(self._sources) + 1, block.shape[-1]))  # the last row is the mix
        squares[:-1] = np.square(block[: len(self._sources)], dtype=np.float64).mean(axis=1)
        squares[-1] = np.square(self._mix[first : self._position], dtype=np.float64).mean(axis=1)
        self._powers.add(squares)

    def levels(self, model_sha256: str) -> SongLevels:
        """Return the levels measured so far, which must be the whole song."""
        powers = np.maximum(self._powers.powers(), 10.0 ** (FLOOR_DBFS / 10))
        *sources, mix = (tuple(map(float, row)) for row in np.round(10.0 * np.log10(powers), DECIMALS))
        return SongLevels(
            model_sha256,
            self._sample_rate_hz,
            len(self._mix),
            self._powers.hop_frames,
            mix,
            dict(zip(self._sources, sources, strict=True)),
        )


def save_levels(path: Path, levels: SongLevels) -> None:
    """Write levels, whole or not at all."""
    with replacing(path) as file:
        file.write(msgspec.json.encode(levels))


def load_levels(path: Path) -> SongLevels:
    """Read what `save_levels` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=SongLevels)
