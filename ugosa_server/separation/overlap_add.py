"""Separation of a song of any length: overlapping segments, weighted by triangles and added.

    s_hat[n] = sum_k w[n - n_k] s_hat_k[n - n_k] / sum_k w[n - n_k],   w = triangle over a segment

(the scheme of demucs, Defossez et al. 2019). A stream: memory depends on the segment, never on the song.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.models.device_transfer import Readback, to_device
from ugosa_server.separation.options import SeparationOptions

MAX_SHIFT_S = 0.5  # the authors' evaluation

SeparateFunction = Callable[[Tensor, int], Tensor]
"""Separates one window of any length, [1, C, T] -> [1, S, C, T]; the number is that of its first frame in the
song, negative where a shifted window begins with silence."""


class SongFrames(Protocol):
    """A song as rows [T, C] that can be sliced: an array, `SourceFrames`, or STFT frames."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class SegmentPlan:
    """Positions of the segments of a song, in frames at the model's rate."""

    segment_frames: int
    """Length of every segment; at most the song's."""
    starts: tuple[int, ...]
    """First frame of every segment; the last one ends where the song ends, so that it has full context."""

    @staticmethod
    def of(n_frames: int, sample_rate_hz: float, options: SeparationOptions) -> SegmentPlan:
        """Plan the separation of a song of `n_frames` frames, at least 1."""
        segment_frames = min(max(1, round(options.segment_s * sample_rate_hz)), n_frames)
        return SegmentPlan.covering(n_frames, segment_frames, int((1 - options.overlap) * segment_frames))

    @staticmethod
    def covering(n_frames: int, segment_frames: int, hop_frames: int) -> SegmentPlan:
        """Cover a song of `n_frames` frames; one that is shorter than a segment is one segment."""
        segment_frames = min(segment_frames, n_frames)
        last_start = n_frames - segment_frames
        return SegmentPlan(segment_frames, (*range(0, last_start, max(1, hop_frames)), last_start))


def triangle(segment_frames: int) -> NDArray[np.float32]:
    """Return weights rising from 1 to the middle and falling to 1, scaled to a maximum of 1: [n]."""
    rising = np.arange(1, segment_frames + 1)
    return (np.minimum(rising, rising[::-1]) / ((segment_frames + 1) // 2)).astype(np.float32)


def separate_in_segments(
    separate: SeparateFunction,
    mix: SongFrames,
    sample_rate_hz: float,
    options: SeparationOptions,
    seed: int,
    device: torch.device | str = "cpu",
) -> Iterator[NDArray[np.float32]]:
    """Yield one block [S, C, n] a segment; the blocks follow each other and have len(mix) frames in all.

    Args:
        separate: runs the network on one window.
        mix: the song at the network's rate, [T, C].
        sample_rate_hz: that rate.
        options: validated.
        seed: of the random shifts.
        device: where `separate` expects its input.
    """
    plan = SegmentPlan.of(len(mix), sample_rate_hz, options)
    weights = triangle(plan.segment_frames)
    max_shift_frames = round(MAX_SHIFT_S * sample_rate_hz)
    random = np.random.default_rng(seed)
    weighted_sum: NDArray[np.float32] | None = None  # [S, C, segment]: frames from the segment's start on
    weight_sum = np.zeros_like(weights)

    def estimates() -> Iterator[Readback]:
        for start in plan.starts:
            shifts = random.integers(0, max_shift_frames, size=options.shifts, endpoint=True).tolist()
            yield Readback(_segment(separate, mix, start, plan.segment_frames, shifts, device))

    bounds = zip(plan.starts, (*plan.starts[1:], len(mix)), strict=True)
    for (start, next_start), readback in zip(
        bounds, _ahead(estimates(), segments_ahead(device)), strict=True
    ):
        estimate = readback.array()  # [S, C, segment]
        if weighted_sum is None:
            weighted_sum = np.zeros_like(estimate)
        estimate *= weights
        weighted_sum += estimate
        del estimate
        weight_sum += weights
        done_frames = next_start - start
        yield weighted_sum[..., :done_frames] / weight_sum[:done_frames]
        weighted_sum = _move_left(weighted_sum, done_frames)
        weight_sum = _move_left(weight_sum, done_frames)


def segments_ahead(device: torch.device | str) -> int:
    """Return the number of segments that are queued before one is waited for.

    A GPU works on the next one while this process resamples and writes. On a CPU both need the same cores.
    """
    return 1 if torch.device(device).type == "cuda" else 0


def _ahead(items: Iterator[Readback], n_ahead: int) -> Iterator[Readback]:
    """Draw up to `n_ahead` items before they are needed."""
    drawn: deque[Readback] = deque()
    for item in items:
        drawn.append(item)
        if len(drawn) > n_ahead:
            yield drawn.popleft()
    yield from drawn


def _segment(
    separate: SeparateFunction,
    mix: SongFrames,
    start: int,
    segment_frames: int,
    shifts: list[int],
    device: torch.device | str,
) -> Tensor:
    """Separate one segment, or average over windows that begin `shift` frames earlier.

    Returns [S, C, segment], on the device.
    """
    total: Tensor | None = None
    for shift in shifts or [0]:
        window_start = start - shift
        window = cut(mix, window_start, start + segment_frames)  # [n, C]
        batch = to_device(window.T, device).unsqueeze(0)  # [1, C, n]
        with torch.inference_mode():
            estimate = separate(batch, window_start)[0, ..., shift:]  # [S, C, segment]
            total = estimate if total is None else total + estimate
    assert total is not None
    return total / max(1, len(shifts))


def cut(song: SongFrames, start: int, stop: int) -> NDArray[Any]:
    """Cut frames [start, stop) out of a song, with zeros before it and after it: [n, C]."""
    inside = song[max(0, start) : max(0, stop)]
    before = min(max(0, -start), stop - start)
    after = stop - start - before - len(inside)
    return np.pad(inside, ((before, after), (0, 0))) if before or after else inside


def _move_left(sums: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Drop the first frames and append zeros."""
    return np.concatenate([sums[..., frames:], np.zeros_like(sums[..., :frames])], axis=-1)
