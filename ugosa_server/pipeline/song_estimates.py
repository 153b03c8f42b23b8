"""Estimates of the base network on disk, as the adaptation takes them: at the network's rate and scale."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.adaptation.remix import SongEstimates
from ugosa_server.audio import SourceAudio, SourceFrames
from ugosa_server.audio.resample import resample_blocks
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import ModelMix, with_channels

CELL_S = 0.25

Blocks = Iterator[NDArray[np.float32]]


def write_estimates(
    blocks: Blocks, context: RunContext, mix: ModelMix, path: Path, steps_done: Callable[[], int]
) -> Generator[int, None, SongEstimates]:
    """Write estimates block by block, yielding the steps done after each; return their reader.

    Args:
        blocks: stems of the song at its own rate, [S', C', n].
        context: of the run; what plays is written, residuals are not.
        mix: the song for the network.
        path: file to write; as long as the network's input, times the number of rows.
        steps_done: returns how many steps `blocks` has taken so far.
    """
    ensemble, config = context.ensemble, context.config
    channels = config.audio_channels
    rows = [ensemble.stems.index(name) for name in ensemble.playing]

    def frames_of_all() -> Blocks:
        for block in blocks:
            part = with_channels(block[rows], channels) - np.float32(mix.mean / len(rows))
            yield (part / np.float32(mix.std)).reshape(-1, block.shape[-1]).T  # [n, S C]

    cells = _CellPowers(len(rows), max(1, round(CELL_S * config.sample_rate_hz)))
    with path.open("wb") as file:
        for block in resample_blocks(
            frames_of_all(), context.spec.source.sample_rate_hz, config.sample_rate_hz, len(mix.frames)
        ):
            file.write(block.astype("<f4").tobytes())
            cells.add(block)
            yield steps_done()
    audio = SourceAudio(
        str(path), config.sample_rate_hz, len(rows) * channels, len(mix.frames), "work file", 0.0
    )
    frames = SourceFrames(audio)
    places = [config.sources.index(name) for name in ensemble.playing]
    n_sources = len(config.sources)

    def read(start: int, stop: int) -> NDArray[np.float32]:
        part = frames[start:stop]
        estimates = np.zeros((n_sources, channels, len(part)), dtype=np.float32)
        estimates[places] = part.T.reshape(len(places), channels, -1)
        return estimates

    powers = np.zeros((n_sources, cells.powers.shape[1]))
    powers[places] = cells.powers
    return SongEstimates(read, powers, cells.cell_frames)


class _CellPowers:
    """Mean square of every source by cell, over a stream of frames."""

    def __init__(self, n_sources: int, cell_frames: int) -> None:
        self.cell_frames = cell_frames
        self._n_sources = n_sources
        self._energies: list[NDArray[np.float64]] = []
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames, [n, S C]."""
        squares = np.square(block, dtype=np.float64).reshape(len(block), self._n_sources, -1).mean(axis=2)
        start = 0
        while start < len(block):
            if self._position % self.cell_frames == 0:
                self._energies.append(np.zeros(self._n_sources))
            stop = min(len(block), start + self.cell_frames - self._position % self.cell_frames)
            self._energies[-1] += squares[start:stop].sum(axis=0)
            self._position += stop - start
            start = stop

    @property
    def powers(self) -> NDArray[np.float64]:
        """Mean squares, [S, cells]."""
        lengths = np.full(len(self._energies), self.cell_frames)
        lengths[-1] = self._position - self.cell_frames * (len(self._energies) - 1)
        return np.asarray(np.stack(self._energies, axis=1) / lengths)
