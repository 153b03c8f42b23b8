"""Overlap host-device copies with compute on CUDA; no-op on CPU.

A copy overlaps with kernels only from or to page-locked memory, and only if the host does not wait for it at
once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """Copy an array to a device, in order with the work queued there next."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Readback:
    """A result that is being copied to main memory."""

    def __init__(self, tensor: Tensor) -> None:
        """Start the copy; work queued on the device later does not delay it."""
        self._host = tensor.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event() if tensor.is_cuda else None  # type: ignore[no-untyped-call]
        if self._arrived is not None:
            self._arrived.record(torch.cuda.current_stream(tensor.device))

    def array(self) -> NDArray[Any]:
        """Hand over the result, once; block until the copy has finished."""
        if self._arrived is not None:
            self._arrived.synchronize()
        array: NDArray[Any] = self._host.numpy()
        del self._host  # whoever holds the readback holds no memory
        return array
