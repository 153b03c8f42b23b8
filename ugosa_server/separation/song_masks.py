"""The masks of a whole song: windows of STFT frames, overlapping, joined as segments of audio are.

Every window lies on one grid of frames, numbered from the start of the song, so nothing drifts however long
it is (256 frames of the Conditioned U-Net advance 65,536 samples, though 65,535 are enough to make them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.audio.frames import SourceFrames
from ugosa_server.models.network import MaskNetwork
from ugosa_server.models.network_config import MaskGrid
from ugosa_server.separation.frame_contexts import FrameContexts
from ugosa_server.separation.options import SeparationOptions
from ugosa_server.separation.overlap_add import SegmentPlan, separate_in_segments

CONTEXTS_AT_ONCE = 4  # a window with more sets of labels is heard in several batches


def mask_frames(n_samples: int, grid: MaskGrid) -> int:
    """T', the frames that cover a song of so many samples and one beyond, for what lies between two."""
    return n_samples // grid.hop_samples + 2


def mask_plan(n_samples: int, sample_rate_hz: int, grid: MaskGrid, options: SeparationOptions) -> SegmentPlan:
    """Where the windows of a song lie, in STFT frames."""
    return SegmentPlan.of(mask_frames(n_samples, grid), frame_rate_hz(sample_rate_hz, grid), options)


def frame_rate_hz(sample_rate_hz: int, grid: MaskGrid) -> float:
    """STFT frames a second."""
    return sample_rate_hz / grid.hop_samples


class SpectrumFrames:
    """A mono song as a `[T', F + 1]` array of complex STFT frames, computed when they are asked for.

    The last column is the number of each frame, from 1, so that a cut knows where it lies.
    """

    def __init__(self, mix: SourceFrames | NDArray[np.float32], grid: MaskGrid) -> None:
        """Take the song [T, 1] at the network's rate."""
        self._mix, self._grid = mix, grid
        self.shape = (mask_frames(len(mix), grid), grid.bins + 1)
        self._window = torch.hann_window(grid.fft_samples)

    def __len__(self) -> int:
        """T'."""
        return self.shape[0]

    def __getitem__(self, frames: slice) -> NDArray[np.complex64]:
        """Compute the frames of a slice of step 1: `[n, F + 1]`."""
        start, stop, _ = frames.indices(len(self))
        fft, hop = self._grid.fft_samples, self._grid.hop_samples
        first, last = start * hop - fft // 2, (stop - 1) * hop + fft // 2
        inside = self._mix[max(0, first) : max(0, last)][:, 0]
        audio = np.zeros(last - first, dtype=np.float32)
        audio[max(0, -first) :][: len(inside)] = inside
        spectra = torch.stft(
            torch.from_numpy(audio), fft, hop, window=self._window, center=False, return_complex=True
        ).numpy()  # [F, n]
        numbers = np.arange(start + 1, stop + 1, dtype=np.complex64)
        return np.concatenate([spectra, numbers[None]]).T


def song_masks(
    network: MaskNetwork,
    mix: SourceFrames | NDArray[np.float32],
    contexts: FrameContexts,
    rows: Sequence[int],
    options: SeparationOptions,
    seed: int,
    device: torch.device | str = "cpu",
) -> Iterator[NDArray[np.float32]]:
    """Yield masks [S, F, n] that follow each other, `mask_frames` in all.

    Args:
        network: on its device.
        mix: the song at the network's rate, normalised, [T, 1].
        contexts: what the network is told of each frame.
        rows: which of the network's sources are wanted, S of them.
        options: validated; a segment is a window. Where windows overlap, hard masks are crossfaded too.
        seed: of the random shifts.
        device: where the network is.
    """
    grid = network.config.mask_grid
    assert grid is not None
    wanted = list(rows)

    def masks_of(cut: Tensor) -> Tensor:  # complex [B, F + 1, n] -> [B, S, F, n]
        return torch.stack([masks_of_window(frames[:-1], int(frames[-1, -1].real)) for frames in cut])

    def masks_of_window(
        frames: Tensor, stop: int
    ) -> Tensor:  # complex [F, n] up to frame `stop` -> [S, F, n]
        distinct, choice = contexts.of(stop - frames.shape[-1], stop)
        masks: Tensor | None = None
        for first in range(0, len(distinct), CONTEXTS_AT_ONCE):
            batch = torch.from_numpy(distinct[first : first + CONTEXTS_AT_ONCE]).to(frames.device)
            made = network.masks(frames.expand(len(batch), -1, -1), batch, kind=options.mask_kind)
            made = made[:, wanted]  # [n, S, F, n]
            if len(distinct) == 1:
                return made[0]
            masks = torch.zeros_like(made[0]) if masks is None else masks
            for i, mask in enumerate(made, start=first):
                own = torch.from_numpy(choice == i).to(mask.device)
                masks = torch.where(own, mask, masks)
        assert masks is not None
        return masks

    yield from separate_in_segments(
        masks_of,
        SpectrumFrames(mix, grid),
        frame_rate_hz(network.config.sample_rate_hz, grid),
        options,
        seed,
        device,
    )
