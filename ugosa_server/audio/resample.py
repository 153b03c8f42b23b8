"""Streaming sample rate conversion with soxr (https://sourceforge.net/projects/soxr), in bounded memory.

soxr compensates its own delay: output frame m lies at the time of input frame m * from_rate / to_rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

QUALITY = "VHQ"  # 28-bit passband precision; below the 24-bit grid


def resampled_frames(frames: int, from_rate_hz: int, to_rate_hz: int) -> int:
    """Length after conversion: frames * to_rate / from_rate, halves rounded up; of a song never 0."""
    return max(min(frames, 1), (2 * frames * to_rate_hz + from_rate_hz) // (2 * from_rate_hz))


def resample_blocks(
    blocks: Iterable[NDArray[np.float32]], from_rate_hz: int, to_rate_hz: int, out_frames: int
) -> Iterator[NDArray[np.float32]]:
    """Convert the rate of a stream of `[n, C]` blocks to exactly `out_frames` frames in all.

    Blocks may be of any size, also empty, and all have the same C. The few frames that the filter gives more
    or less at the very end are cut, or filled with zeros.
    """
    channels, done = 1, 0
    for block in blocks if from_rate_hz == to_rate_hz else _converted(blocks, from_rate_hz, to_rate_hz):
        channels = block.shape[1]
        part = block[: out_frames - done]
        done += len(part)
        if len(part):
            yield part
    if done < out_frames:
        yield np.zeros((out_frames - done, channels), dtype=np.float32)


def _converted(
    blocks: Iterable[NDArray[np.float32]], from_rate_hz: int, to_rate_hz: int
) -> Iterator[NDArray[np.float32]]:
    stream = None
    for block in blocks:
        if stream is None:
            channels = block.shape[1]
            stream = soxr.ResampleStream(from_rate_hz, to_rate_hz, channels, dtype="float32", quality=QUALITY)
        if len(block):
            yield stream.resample_chunk(np.ascontiguousarray(block, dtype=np.float32))
    if stream is not None:
        yield stream.resample_chunk(np.empty((0, channels), dtype=np.float32), last=True)
