"""Masks of a whole song: made at the network's rate, then applied to every channel at the song's rate.

**Made.** Windows of STFT frames overlap and are joined as segments of audio are. All lie on one grid of
frames, numbered from the start of the song, so nothing drifts however long it is (256 frames of the
Conditioned U-Net advance 65,536 samples, though 65,535 are enough to make them).

**Applied.** The STFT of the song is the network's, scaled: the window is n = 2 round(fft R / 2 r) samples
long and the hop round(hop R / r), for a song at R Hz and a network at r Hz. With R = 44,100 and r = 11,025
both are exactly four times the network's, so its bins and frames are among those here and each mask lies
where it was made; at other rates masks are interpolated linearly between bins and frames, at positions
counted from the start of the song. The phase is the mix's. Above the network's band every mask is 0.

    s_hat_i = iSTFT(M_i STFT(y)),   residual = y - sum_i s_hat_i
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.audio import SourceFrames
from ugosa_server.models import MaskGrid
from ugosa_server.models.network import MaskNetwork
from ugosa_server.separation.options import SeparationOptions
from ugosa_server.separation.overlap_add import SegmentPlan, cut, separate_in_segments
from ugosa_server.separation.stft import FRAMES_AT_ONCE, FrameSums, cut_frames, filter_window

CONTEXTS_AT_ONCE = 4  # of one window; more are processed in several batches
BAND_TOLERANCE = 1e-6  # of a bin: the highest bin is not lost to rounding


class FrameContexts(Protocol):
    """Conditioning of a network in each STFT frame of a song; see `models.cunet.conditioning`."""

    def between(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Return the distinct contexts [n, *shape] in [start, stop) and the index of each frame's context."""


def mask_frames(n_samples: int, grid: MaskGrid) -> int:
    """Return T', the number of STFT frames that cover n_samples, plus one for interpolation."""
    return n_samples // grid.hop_samples + 2


def mask_plan(n_samples: int, sample_rate_hz: int, grid: MaskGrid, options: SeparationOptions) -> SegmentPlan:
    """Plan the windows of a song of n_samples at the network's rate, in STFT frames."""
    return SegmentPlan.of(mask_frames(n_samples, grid), frame_rate_hz(sample_rate_hz, grid), options)


def frame_rate_hz(sample_rate_hz: int, grid: MaskGrid) -> float:
    """Return STFT frames a second."""
    return sample_rate_hz / grid.hop_samples


class SpectrumFrames:
    """A mono song as a `[T', F]` array of complex STFT frames, computed when they are asked for."""

    def __init__(self, mix: SourceFrames | NDArray[np.float32], grid: MaskGrid) -> None:
        """Take the song [T, 1] at the network's rate."""
        self._mix, self._grid = mix, grid
        self.shape = (mask_frames(len(mix), grid), grid.bins)
        self._window = torch.hann_window(grid.fft_samples)

    def __len__(self) -> int:
        """Return T'."""
        return self.shape[0]

    def __getitem__(self, frames: slice) -> NDArray[np.complex64]:
        """Compute the frames of a slice of step 1: `[n, F]`."""
        start, stop, _ = frames.indices(len(self))
        fft, hop = self._grid.fft_samples, self._grid.hop_samples
        first, last = start * hop - fft // 2, (stop - 1) * hop + fft // 2
        audio = cut(self._mix, first, last)[:, 0]
        spectra: NDArray[np.complex64] = torch.stft(
            torch.from_numpy(audio), fft, hop, window=self._window, center=False, return_complex=True
        ).numpy()  # [F, n]
        return spectra.T


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
        contexts: conditioning of the network in each frame.
        rows: the S sources of the network that are wanted.
        options: validated; a segment is a window. Where windows overlap, hard masks are crossfaded too.
        seed: of the random shifts.
        device: where the network is.
    """
    grid = network.config.mask_grid
    assert grid is not None
    wanted = list(rows)

    def masks_of_window(window: Tensor, start: int) -> Tensor:  # complex [1, F, n] -> [1, S, F, n]
        frames = window[0]
        distinct, index = contexts.between(start, start + frames.shape[-1])
        masks: Tensor | None = None
        for first in range(0, len(distinct), CONTEXTS_AT_ONCE):
            batch = torch.from_numpy(distinct[first : first + CONTEXTS_AT_ONCE]).to(frames.device)
            made = network.masks(frames.expand(len(batch), -1, -1), batch, kind=options.mask_kind)
            made = made[:, wanted]  # [n, S, F, n]
            if len(distinct) == 1:
                return made
            masks = torch.zeros_like(made[0]) if masks is None else masks
            for i, mask in enumerate(made, start=first):
                own = torch.from_numpy(index == i).to(mask.device)
                masks = torch.where(own, mask, masks)
        assert masks is not None
        return masks.unsqueeze(0)

    yield from separate_in_segments(
        masks_of_window,
        SpectrumFrames(mix, grid),
        frame_rate_hz(network.config.sample_rate_hz, grid),
        options,
        seed,
        device,
    )


@dataclass(frozen=True)
class SourceGrid:
    """The network's STFT scaled to the song's rate."""

    fft_samples: int
    """n, even."""
    hop_samples: int
    """From one frame to the next."""
    bins_per_bin: float
    """Bins of the network that one bin here spans."""
    frames_per_frame: float
    """Frames of the network from one frame here to the next."""

    @staticmethod
    def of(grid: MaskGrid, model_rate_hz: int, source_rate_hz: int) -> SourceGrid:
        """Scale a grid from the network's rate to the song's."""
        ratio = source_rate_hz / model_rate_hz
        fft = 2 * max(1, round(grid.fft_samples / 2 * ratio))
        hop = max(1, round(grid.hop_samples * ratio))
        return SourceGrid(fft, hop, ratio * grid.fft_samples / fft, hop / (grid.hop_samples * ratio))


class SongMasks:
    """A stream of masks [S, F, n], read forward at positions between frames."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = iter(blocks)
        self._buffer = next(self._blocks)  # [S, F, n]: frames from `_start` on
        self._start = 0

    @property
    def sources(self) -> int:
        """Number of masks a frame, S."""
        return len(self._buffer)

    def at(self, positions: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return masks [S, F, n] at rising positions; beyond the last frame they are its own."""
        before = np.floor(positions).astype(int)  # [n]
        self._reach(int(before[-1]) + 2)
        self._buffer = self._buffer[..., max(0, before[0] - self._start) :]
        self._start = max(self._start, int(before[0]))
        last = self._buffer.shape[-1] - 1
        first = (before - self._start).clip(max=last)
        share = (positions - before).astype(np.float32)
        masks: NDArray[np.float32] = (1 - share) * self._buffer[..., first]
        masks += share * self._buffer[..., (first + 1).clip(max=last)]
        return masks

    def finish(self) -> None:
        """Read the stream to its end."""
        for _ in self._blocks:
            pass

    def _reach(self, stop: int) -> None:
        blocks = [self._buffer]
        reached = self._start + self._buffer.shape[-1]
        while reached < stop and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            reached += block.shape[-1]
        self._buffer = np.concatenate(blocks, axis=-1)


def masked_stems(
    masks: Iterable[NDArray[np.float32]],
    mix: SourceFrames | NDArray[np.float32],
    source_rate_hz: int,
    grid: MaskGrid,
    model_rate_hz: int,
    device: torch.device | str = "cpu",
) -> Iterator[NDArray[np.float32]]:
    """Yield estimates [S + 1, C, n], the residual last; together they have exactly T frames.

    Args:
        masks: [S, F, n] that follow each other, as of `song_masks`.
        mix: the song at its own rate, [T, C].
        source_rate_hz: that rate.
        grid: the STFT that the masks were made on.
        model_rate_hz: the network's rate.
        device: where to compute.
    """
    stft = SourceGrid.of(grid, model_rate_hz, source_rate_hz)
    fft, hop = stft.fft_samples, stft.hop_samples
    song = SongMasks(masks)
    window = filter_window(fft, device)
    band = BandInterpolation(stft, grid)
    sums = FrameSums(window, hop, len(mix))
    for first in range(0, sums.n_frames, FRAMES_AT_ONCE):
        last = min(first + FRAMES_AT_ONCE, sums.n_frames)
        spectra = torch.fft.rfft(window * cut_frames(mix, first, last, fft, hop).to(device))  # [C, n, bins]
        positions = stft.frames_per_frame * np.arange(first, last, dtype=np.float64)
        found = torch.from_numpy(song.at(positions)).to(device)  # [S, F, n]
        made = band.apply(found).transpose(1, 2).unsqueeze(1) * spectra[..., : band.bins]  # [S, C, n, bins]
        start = sums.finished
        stems = sums.add(torch.fft.irfft(made, n=fft))
        part = mix[start : sums.finished].T  # [C, n]
        yield np.concatenate([stems, (part - stems.sum(axis=0, dtype=np.float64))[None]]).astype(np.float32)
    song.finish()


class BandInterpolation:
    """Linear interpolation of masks to the bins of the song's STFT, up to the network's band."""

    def __init__(self, stft: SourceGrid, grid: MaskGrid) -> None:
        positions = np.arange(stft.fft_samples // 2 + 1) * stft.bins_per_bin
        positions = positions[positions <= grid.bins - 1 + BAND_TOLERANCE].clip(max=grid.bins - 1)
        below = np.minimum(np.floor(positions).astype(int), grid.bins - 2)
        self.bins = len(positions)
        self._below = torch.from_numpy(below)
        self._share = torch.from_numpy((positions - below).astype(np.float32))[:, None]

    def apply(self, masks: Tensor) -> Tensor:
        """Interpolate masks: [S, F, n] -> [S, bins, n]."""
        below, share = self._below.to(masks.device), self._share.to(masks.device)
        return (1 - share) * masks[:, below] + share * masks[:, below + 1]
