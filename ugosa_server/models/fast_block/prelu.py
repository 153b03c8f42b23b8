"""PReLU with one slope, forward and backward, into memory that is there."""

from __future__ import annotations

import torch
from torch import Tensor

from ugosa_server.models.fast_block.scratch import Scratch, on_cpu

SMALLEST_TELLING_SLOPE = 1e-3  # below it, min(y, 0) / slope would lose digits


class Prelu:
    """y = max(x, 0) + slope min(x, 0).

    With a positive slope y has the sign of x, so that the gradient can be had from y as well. Then y is what
    a training step keeps; x need not be written beside it.
    """

    def __init__(self, slope: Tensor) -> None:
        self._slope = slope
        self._number = float(slope) if on_cpu(slope) else None  # reading it from a GPU makes us wait
        self.keeps_output = self._number is not None and self._number > SMALLEST_TELLING_SLOPE
        """Whether `output` and `backward` are to be given y; else x."""

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """Write y; `out` may be x."""
        if self._number is None:
            return out.copy_(torch.prelu(x, self._slope))
        torch.ops.aten.leaky_relu.out(x, self._number, out=out)
        return out

    def output(self, kept: Tensor, name: str, scratch: Scratch) -> Tensor:
        """Return y: what was kept, or scratch memory of this name with y written to it."""
        if self.keeps_output:
            return kept
        return self.forward(kept, scratch.take(name, len(kept), kept.shape[1], kept))

    def backward(self, d_y: Tensor, kept: Tensor, d_x: Tensor, temporary: Tensor) -> Tensor:
        """Write d x, and return d slope, [1]; d_x may be d_y or `kept`."""
        d_slope = torch.dot(torch.clamp(kept, max=0, out=temporary).flatten(), d_y.flatten())
        if self.keeps_output:
            d_slope = d_slope / self._slope
        if self._number is None:
            torch.where(kept > 0, d_y, d_y * self._slope, out=d_x)
        else:
            torch.ops.aten.leaky_relu_backward.grad_input(d_y, kept, self._number, False, grad_input=d_x)
        return d_slope
