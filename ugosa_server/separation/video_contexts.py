"""What a mask network sees while it hears a window: frames of every player, at the window's times.

One frame per player is the one nearest to the window's start (paper, section 3.2.2); N frames are those
nearest to N times spread evenly over the window. A player of whom there is no frame is all zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ugosa_server.activations.visual_frames import VisualFrame


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
