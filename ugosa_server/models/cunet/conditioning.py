"""Contexts of STFT frames: what a mask network is conditioned on in each frame of a song.

A context is a vector of labels, from marks, or a stack of feature vectors, from a video of the players. Both
classes give the distinct contexts of a stretch of frames, so that a window is processed once for each.

Labels: 1 where a source may play, 0 where it is marked silent. A label is 0 only if its frame, the frame's
window and one hop on either side lie inside the mark, so a mark changes nothing outside of itself.

Video: the frame of each player that is nearest to the start of the stretch (Slizovskaia et al. 2021, section
3.2.2), or those nearest to N times spread evenly over it. A player of whom there is no frame is all zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.marks import MarkSet
from ugosa_server.marks.players import VisualFrame
from ugosa_server.models.config import MaskGrid


class LabelContexts:
    """Labels of the sources, 0 or 1, in each STFT frame of a song."""

    def __init__(
        self,
        marks: MarkSet,
        sources: Sequence[str],
        source_rate_hz: int,
        source_frames: int,
        grid: MaskGrid,
        model_rate_hz: int,
        n_frames: int,
    ) -> None:
        """Compute the labels of a song of `source_frames` frames, which are T' = `n_frames` of the STFT."""
        self._labels = np.ones((len(sources), n_frames), dtype=np.float32)  # [K, T']
        reach = grid.fft_samples / 2 + grid.hop_samples
        model_per_source = model_rate_hz / source_rate_hz
        for row, source in zip(self._labels, sources, strict=True):
            for start, stop in marks.silent(source):
                first = -(-(start * model_per_source + reach) // grid.hop_samples) if start > 0 else 0
                last = (stop * model_per_source - reach) // grid.hop_samples
                last = last if stop < source_frames else n_frames
                row[int(first) : max(0, int(last) + 1)] = 0.0

    def between(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Return the distinct labels [n, K] in frames [start, stop) and the index of each frame's labels.

        Frames before and after the song are like its first and last.
        """
        frames = np.arange(start, stop).clip(0, self._labels.shape[1] - 1)
        labels, index = np.unique(self._labels[:, frames], axis=1, return_inverse=True)
        return np.ascontiguousarray(labels.T), index.reshape(-1)


class VideoContexts:
    """Feature vectors of the players, one or N of each, for any stretch of STFT frames."""

    def __init__(
        self,
        frames: Sequence[VisualFrame],
        context_shape: tuple[int, ...],
        source_rate_hz: int,
        frame_rate_hz: float,
    ) -> None:
        """Sort the vectors by player, for contexts of [K', 2048] or [K', N, 2048]."""
        self._shape = context_shape
        self._frame_rate_hz = frame_rate_hz
        n_features = context_shape[-1]
        self._vectors: dict[int, tuple[NDArray[np.float64], NDArray[np.float32]]] = {}
        """Times in seconds [n] and vectors [n, 2048] of each player."""
        for player in {frame.player for frame in frames}:
            own = [frame for frame in frames if frame.player == player]
            times_s = np.array([frame.frame / source_rate_hz for frame in own])
            self._vectors[player] = times_s, np.stack([frame.vector(n_features) for frame in own])

    def between(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Return the only context [1, *context_shape] of frames [start, stop), and zeros as its indices."""
        players, *several, n_features = self._shape
        n_times = several[0] if several else 1
        wanted_s = (start + (stop - start) * np.arange(n_times) / n_times) / self._frame_rate_hz  # [N]
        context = np.zeros((players, n_times, n_features), dtype=np.float32)
        for player, (times_s, vectors) in self._vectors.items():
            nearest = np.abs(times_s[:, None] - wanted_s).argmin(axis=0)  # [N]
            context[player] = vectors[nearest]
        return context.reshape(1, *self._shape), np.zeros(stop - start, dtype=np.intp)
