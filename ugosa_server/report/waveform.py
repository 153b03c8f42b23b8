"""The picture of a waveform: the lowest and highest sample of every bin, read block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from ugosa_server.audio.formats import SourceAudio

BLOCK_FRAMES = 1 << 16
BINS = 1000  # more than a phone has pixels, about as many as a page on a screen

Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Waveform:
    """The extent of a signal over time, all channels together."""

    low: npt.NDArray[np.float32]
    """Lowest sample of each bin, [bins]."""
    high: npt.NDArray[np.float32]
    """Highest sample of each bin, [bins]."""

    @property
    def peak(self) -> float:
        """Largest absolute sample."""
        return float(max(self.high.max(), -self.low.min()))


def source_waveform(source: SourceAudio, bins: int = BINS) -> Waveform:
    """Return the waveform of a decoded song."""
    return waveform(_source_blocks(source), source.frames, bins)


def stem_waveform(path: Path, bins: int = BINS) -> Waveform:
    """Return the waveform of a stem file."""
    with soundfile.SoundFile(path) as file:
        return waveform(file.blocks(BLOCK_FRAMES, dtype="float32", always_2d=True), file.frames, bins)


def waveform(blocks: Iterable[Block], frames: int, bins: int = BINS) -> Waveform:
    """Return lowest and highest sample of `bins` equal spans of a signal; fewer when it has fewer frames.

    Args:
        blocks: the signal in order, each [n, C].
        frames: their total length, at least 1.
        bins: how many spans.
    """
    bins = min(bins, frames)
    edges = np.arange(bins + 1, dtype=np.int64) * frames // bins  # strictly increasing, as bins <= frames
    low = np.full(bins, np.inf, np.float32)
    high = np.full(bins, -np.inf, np.float32)
    start = 0
    for block in blocks:
        end = start + len(block)
        first = int(np.searchsorted(edges, start, side="right")) - 1
        last = int(np.searchsorted(edges, end, side="left"))  # one past the last bin of this block
        cuts = np.maximum(edges[first:last], start) - start
        here = slice(first, last)
        low[here] = np.minimum(low[here], np.minimum.reduceat(block.min(axis=1), cuts))
        high[here] = np.maximum(high[here], np.maximum.reduceat(block.max(axis=1), cuts))
        start = end
    return Waveform(low, high)


def _source_blocks(source: SourceAudio) -> Iterator[Block]:
    with open(source.path, "rb") as file:
        while (samples := np.fromfile(file, "<f4", BLOCK_FRAMES * source.channels)).size:
            yield samples.reshape(-1, source.channels)
