"""STFT of a song as a stream: frames are cut out, changed by a filter, and summed to samples again.

    s[t] = sum_k w[t - k hop] x_k[t - k hop] / sum_k w[t - k hop]^2

with x_k the inverse transform of what a filter makes of frame k, which lies around sample k hop, and w a Hann
window. Memory depends on the window, never on the song.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.separation.overlap_add import SongFrames, cut

FRAMES_AT_ONCE = 32  # that are worked on together


def filter_window(fft_samples: int, device: torch.device | str) -> Tensor:
    """Return the Hann window of a filter."""
    return torch.hann_window(fft_samples, dtype=torch.float64).float().to(device)


def cut_frames(mix: SongFrames, first: int, last: int, fft_samples: int, hop_samples: int) -> Tensor:
    """Cut STFT frames from `first` to before `last` out of the song, with silence around it: [C, n, fft]."""
    start = first * hop_samples - fft_samples // 2
    stop = (last - 1) * hop_samples + fft_samples // 2
    return torch.from_numpy(cut(mix, start, stop)).T.unfold(-1, fft_samples, hop_samples)


class FrameSums:
    """Sum of STFT frames that are centred on multiples of the hop, made into samples as they come."""

    def __init__(self, window: Tensor, hop_samples: int, n_samples: int) -> None:
        """Take the window that the frames were analysed with, and the length of the song."""
        self.n_frames = n_samples // hop_samples + 1
        """Number of frames of the song."""
        self.finished = 0
        """Number of samples that have been returned."""
        self._window, self._hop, self._n_samples = window, hop_samples, n_samples
        self._position = -(len(window) // 2)  # of the first sample here: half a window lies before the song
        self._left = self.n_frames
        self._sums = window.new_zeros(len(window))
        self._weights = window.new_zeros(len(window))

    def add(self, frames: Tensor) -> NDArray[np.float32]:
        """Add the next frames, [..., n, fft]; return the samples that no later one reaches, [..., m]."""
        audio = self._window * frames
        count, fft = audio.shape[-2:]
        done = self._hop * count
        sums = torch.nn.functional.pad(self._sums.expand(*audio.shape[:-2], -1), (0, done))
        weights = torch.nn.functional.pad(self._weights, (0, done))
        for i in range(count):
            sums[..., i * self._hop : i * self._hop + fft] += audio[..., i, :]
            weights[i * self._hop : i * self._hop + fft] += self._window.square()
        self._left -= count
        if self._left == 0:
            done = self._n_samples - self._position
        before = min(done, max(0, -self._position))
        made: NDArray[np.float32] = (sums[..., before:done] / weights[before:done]).cpu().numpy()
        self._sums, self._weights, self._position = sums[..., done:], weights[done:], self._position + done
        self.finished += made.shape[-1]
        return made
