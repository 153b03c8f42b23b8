"""What a mask network is told of every STFT frame of a song, from the marks.

A label is 1 where its source may play and 0 where it is marked silent. Marks need not fill a whole window of
the network: the window is heard once for each set of labels that occurs in it, and every frame takes the
masks that were made for its own labels. A frame's label is 0 only if the frame, its window and one hop on
either side lie inside the mark, so a mark changes nothing outside of itself.

What a mask network sees while it hears a window: frames of every player, at the window's times.

One frame per player is the one nearest to the window's start (paper, section 3.2.2); N frames are those
nearest to N times spread evenly over the window. A player of whom there is no frame is all zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ugosa_server.marks import MarkSet
from ugosa_server.marks.players import VisualFrame
from ugosa_server.models.config import MaskGrid


class FrameContexts(Protocol):
    """Says what is known of any stretch of frames."""

    def of(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """The contexts in frames [start, stop), [n, *shape], and which frame has which, [stop - start]."""


class LabelContexts:
    """Labels from marks."""

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
        """Take validated marks of a song, the network's sources, and the number T' of its STFT frames."""
        self._labels = np.ones((len(sources), n_frames), dtype=np.float32)  # [K, T']
        reach = grid.fft_samples / 2 + grid.hop_samples
        per_frame = model_rate_hz / source_rate_hz
        for row, source in zip(self._labels, sources, strict=True):
            for start, stop in marks.silent(source):
                first = -(-(start * per_frame + reach) // grid.hop_samples) if start > 0 else 0
                last = (stop * per_frame - reach) // grid.hop_samples if stop < source_frames else n_frames
                row[int(first) : max(0, int(last) + 1)] = 0.0

    def of(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """The sets of labels in frames [start, stop), [n, K], and which is whose; see the protocol.

        Frames before and after the song are like its first and last.
        """
        frames = np.arange(start, stop).clip(0, self._labels.shape[1] - 1)
        labels, choice = np.unique(self._labels[:, frames], axis=1, return_inverse=True)
        return np.ascontiguousarray(labels.T), choice.reshape(-1)


class VideoContexts:
    """Contexts from visual frames, as `frame_contexts.FrameContexts`."""

    def __init__(
        self,
        frames: Sequence[VisualFrame],
        context_shape: tuple[int, ...],
        source_rate_hz: int,
        frame_rate_hz: float,
    ) -> None:
        """Take validated frames.

        Args:
            frames: what is seen, sorted.
            context_shape: [K', 2048], or [K', N, 2048].
            source_rate_hz: of the song.
            frame_rate_hz: STFT frames a second.
        """
        self._shape = context_shape
        self._frame_rate_hz = frame_rate_hz
        n_features = context_shape[-1]
        self._seen: dict[int, tuple[NDArray[np.float64], NDArray[np.float32]]] = {}
        for player in {seen.player for seen in frames}:
            own = [seen for seen in frames if seen.player == player]
            times_s = np.array([seen.frame / source_rate_hz for seen in own])
            self._seen[player] = times_s, np.stack([seen.vector(n_features) for seen in own])

    def of(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """What is seen in frames [start, stop): one context, [1, *shape], and every frame has it."""
        players, *several, n_features = self._shape
        n_times = several[0] if several else 1
        wanted_s = (start + (stop - start) * np.arange(n_times) / n_times) / self._frame_rate_hz  # [N]
        context = np.zeros((players, n_times, n_features), dtype=np.float32)
        for player, (times_s, vectors) in self._seen.items():
            nearest = np.abs(times_s[:, None] - wanted_s).argmin(axis=0)  # [N]
            context[player] = vectors[nearest]
        return context.reshape(1, *self._shape), np.zeros(stop - start, dtype=np.intp)
