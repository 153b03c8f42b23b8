"""Run blocks one after the other, with gradients where any is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ugosa_server.models.conv_tasnet.fast_block.backward import block_backward
from ugosa_server.models.conv_tasnet.fast_block.forward import forward_in_place, forward_kept
from ugosa_server.models.conv_tasnet.fast_block.layers import BlockWeights, FoldedWeights, Scratch

_T = TypeVar("_T")


class Layer(NamedTuple):
    """One block."""

    weights: BlockWeights
    dilation: int
    """Frames from one tap to the next."""

    @property
    def is_trained(self) -> bool:
        """True if any of its parameters asks for a gradient."""
        return any(tensor.requires_grad for tensor in self.weights)


def run(x: Tensor, layers: Sequence[Layer], scratch: Scratch) -> Tensor:
    """Run temporal blocks one after the other: [K, B] -> [K, B]."""
    trained = [x.requires_grad, *(layer.is_trained for layer in layers)]
    first = max(trained.index(True) - 1, 0) if torch.is_grad_enabled() and any(trained) else len(layers)
    if first > 0:
        x = x.clone()
        with torch.no_grad():
            for weights, dilation in layers[:first]:
                forward_in_place(x, FoldedWeights(weights, dilation), scratch)
    if first == len(layers):
        return x
    tensors = [tensor for layer in layers[first:] for tensor in layer.weights]
    out: Tensor = _Blocks.apply(  # type: ignore[no-untyped-call]
        x, [layer.dilation for layer in layers[first:]], scratch, *tensors
    )
    return out


class _Blocks(torch.autograd.Function):
    """The blocks of a training step, in one piece, so that features between blocks can be borrowed."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, dilations: list[int], scratch: Scratch, *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.kept, ctx.scratch, ctx.dilations = [], scratch, dilations  # type: ignore[attr-defined]
        for number, weights in enumerate(_folded(tensors, dilations), start=1):
            is_last = number == len(dilations)
            out = torch.empty_like(x) if is_last else scratch.borrow(len(x), x.shape[1], x)
            ctx.kept.append(forward_kept(x, out, weights, scratch))  # type: ignore[attr-defined]
            x = out
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scratch: Scratch = ctx.scratch
        needs_input = ctx.needs_input_grad[0]
        needs = _by_block(ctx.needs_input_grad[3:])
        g = scratch.take("g", len(grads[0]), grads[0].shape[1], grads[0]).copy_(grads[0])
        gradients: list[Tensor | None] = []
        folded = _folded(ctx.saved_tensors, ctx.dilations)
        for number, (weights, needed) in reversed([*enumerate(zip(folded, needs, strict=True))]):
            needs_x = number > 0 or needs_input
            kept = ctx.kept.pop()  # so that a second backward pass, which would read other numbers, fails
            of_block = block_backward(
                g, kept, weights, scratch, needs_x=needs_x, needs_only_down=not (needs_x or any(needed[:-1]))
            )
            gradients = [*of_block, *gradients]
            scratch.give_back(kept.u, kept.q)
            if number > 0:  # the first x is not ours
                scratch.give_back(kept.x)
        shaped = [
            gradient.reshape(tensor.shape) if gradient is not None and is_needed else None
            for gradient, tensor, is_needed in zip(
                gradients, ctx.saved_tensors, ctx.needs_input_grad[3:], strict=True
            )
        ]
        return g.clone() if needs_input else None, None, None, *shaped


def _folded(tensors: Sequence[Tensor], dilations: Sequence[int]) -> list[FoldedWeights]:
    return [
        FoldedWeights(BlockWeights(*of_block), dilation)
        for of_block, dilation in zip(_by_block(tensors), dilations, strict=True)
    ]


def _by_block(values: Sequence[_T]) -> list[Sequence[_T]]:
    """Group values that belong to parameters by block."""
    size = len(BlockWeights._fields)
    return [values[start : start + size] for start in range(0, len(values), size)]
