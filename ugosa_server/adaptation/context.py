"""Adapted weights live on the resident network for one `with` block; the base always comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ugosa_server.adaptation.strategies import Strategy
from ugosa_server.models.network import SeparationNetwork


@contextmanager
def adaptation_of(network: SeparationNetwork, strategy: Strategy) -> Iterator[dict[str, nn.Parameter]]:
    """Make the strategy's parameters trainable in place, and restore the base however the block ends.

    Only the trained tensors are copied, so a resident network costs no second network. No other parameter
    takes part in autograd inside or outside the block.

    Yields:
        The trainable parameters by name, in the network's order; none for `B0`.
    """
    names = strategy.depth.trained_names(network.config) if strategy.depth else ()
    parameters = dict(network.named_parameters())
    trained = {name: parameters[name] for name in names}
    base: dict[str, Tensor] = {name: parameter.detach().clone() for name, parameter in trained.items()}
    network.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad_(True)
    try:
        yield trained
    finally:
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(base[name])
        network.requires_grad_(False)
        for parameter in trained.values():
            parameter.grad = None


@contextmanager
def base_unless_done(trained: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Bring the parameters back to where they were, unless the block ends well: it may be tried again."""
    before = {name: parameter.detach().to("cpu", copy=True) for name, parameter in trained.items()}
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(before[name])
                parameter.grad = None
        raise
