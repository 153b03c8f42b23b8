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
    blocks: Iterable[NDArray[np.float32]], from_rate_hz: int, to_rate_hz: int, out_frames: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Convert the rate of a stream of `[n, C]` blocks.

    Blocks may be of any size, also empty, and all have the same C. The output has exactly `out_frames` frames
    in all, by default `resampled_frames` of what came in; the few frames that the filter gives more or less
    at the very end are cut, or filled with zeros.
    """
    channels, came, done = 1, 0, 0

    def converted() -> Iterator[NDArray[np.float32]]:
        nonlocal channels, came
        stream = None
        for block in blocks:
            came += len(block)
            channels = block.shape[1]
            if from_rate_hz == to_rate_hz:
                yield block
            elif len(block):
                stream = stream or soxr.ResampleStream(
                    from_rate_hz, to_rate_hz, channels, dtype="float32", quality=QUALITY
                )
                yield stream.resample_chunk(np.ascontiguousarray(block, dtype=np.float32))
        if stream is not None:
            yield stream.resample_chunk(np.empty((0, channels), dtype=np.float32), last=True)

    def bound() -> int:
        # Without `out_frames` it grows as input comes and is met by the last block only: soxr lags.
        return resampled_frames(came, from_rate_hz, to_rate_hz) if out_frames is None else out_frames

    for block in converted():
        part = block[: bound() - done]
        done += len(part)
        if len(part):
            yield part
    if done < bound():
        yield np.zeros((bound() - done, channels), dtype=np.float32)
