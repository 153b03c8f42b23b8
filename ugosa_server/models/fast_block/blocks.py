"""A block as something to call, with gradient where one is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ugosa_server.models.fast_block.backward import block_backward
from ugosa_server.models.fast_block.forward import block_forward
from ugosa_server.models.fast_block.scratch import Scratch
from ugosa_server.models.fast_block.weights import BlockWeights, FoldedWeights


def block(x: Tensor, weights: BlockWeights, dilation: int, scratch: Scratch) -> Tensor:
    """Return what `TemporalBlock` makes of x, with gradient where one is asked for: [K, B] -> [K, B].

    Without gradient x is written over and returned.
    """
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        out: Tensor = _Block.apply(x, dilation, scratch, *weights)  # type: ignore[no-untyped-call]
        return out
    with torch.no_grad():
        folded = FoldedWeights(weights, dilation)
        p = scratch.take("p", len(x), folded.channels, x)
        y = scratch.take("y", len(x), x.shape[1], x)
        result = block_forward(x, p, None, y, folded, scratch)
        return x.addcmul_(y, result.t_norm.scale).add_(result.constant)


class _Block(torch.autograd.Function):
    """A block of a training step."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, dilation: int, scratch: Scratch, *tensors: Tensor) -> Tensor:
        weights = FoldedWeights(BlockWeights(*tensors), dilation)
        u, q = (scratch.borrow(len(x), weights.channels, x) for _ in range(2))
        y = torch.empty_like(x)
        result = block_forward(x, u, q, y, weights, scratch)
        ctx.save_for_backward(x, *tensors)
        ctx.inner = u, q  # type: ignore[attr-defined]
        ctx.norms = result.p_norm, result.t_norm  # type: ignore[attr-defined]
        ctx.dilation, ctx.scratch = dilation, scratch  # type: ignore[attr-defined]
        return torch.addcmul(x, y, result.t_norm.scale, out=y).add_(result.constant)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *tensors = ctx.saved_tensors
        u, q = ctx.inner
        weights = FoldedWeights(BlockWeights(*tensors), ctx.dilation)
        needs = BlockWeights(*ctx.needs_input_grad[3:])
        x_gradient, gradients = block_backward(
            grads[0].contiguous(),
            x,
            u,
            q,
            weights,
            ctx.norms,
            ctx.scratch,
            needs_x=ctx.needs_input_grad[0],
            needs_only_down=not any((ctx.needs_input_grad[0], *needs[:-1])),
        )
        ctx.inner = None  # a second backward pass would read what is not there any more, and fails here
        ctx.scratch.give_back(u, q)
        shaped = [
            gradient.reshape(tensor.shape) if gradient is not None and needed else None
            for gradient, tensor, needed in zip(gradients, tensors, needs, strict=True)
        ]
        return x_gradient, None, None, *shaped
