"""The memory of blocks, and the stretches of frames that they go through."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK_FLOATS_A_THREAD = 1 << 18  # 1 MB, what a core's own cache holds


class Scratch:
    """Memory that blocks hand on to each other and to the next step: fresh memory costs page faults."""

    def __init__(self) -> None:
        self._shared: dict[str, Tensor] = {}
        self._free: dict[tuple[int, int], list[Tensor]] = {}

    def take(self, name: str, frames: int, channels: int, like: Tensor) -> Tensor:
        """Give [frames, channels] with undefined content; the same name gives the same memory again."""
        tensor = self._shared.get(name)
        if (
            tensor is None
            or len(tensor) < frames
            or tensor.shape[1] != channels
            or tensor.dtype != like.dtype
        ):
            tensor = self._shared[name] = like.new_empty(frames, channels)
        return tensor[:frames]

    def borrow(self, frames: int, channels: int, like: Tensor) -> Tensor:
        """Give [frames, channels] with undefined content that nobody else has until it is given back."""
        free = self._free.get((frames, channels))
        if free and free[-1].dtype == like.dtype:
            return free.pop()
        return like.new_empty(frames, channels)

    def give_back(self, *tensors: Tensor) -> None:
        """Lend these again; what was borrowed and is never given back is freed like any tensor."""
        for tensor in tensors:
            self._free.setdefault((tensor.shape[0], tensor.shape[1]), []).append(tensor)


def on_cpu(x: Tensor) -> bool:
    """Whether chunks fit a cache, and reading a number makes nobody wait."""
    return x.device.type == "cpu"


def chunks(x: Tensor, channels: int) -> Iterator[slice]:
    """Stretches of the frames of x [K, ...], `channels` of which fit the cache; a GPU takes all at once."""
    n_frames = len(x)
    fitting = CHUNK_FLOATS_A_THREAD // channels * torch.get_num_threads()
    size = max(1, fitting) if on_cpu(x) else n_frames
    for start in range(0, n_frames, size):
        yield slice(start, min(start + size, n_frames))
