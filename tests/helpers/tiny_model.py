"""A ConvTasNet small enough that a job takes a second: the real class, the real file, random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.helpers.songs import SOURCES
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

TINY = ConvTasNetConfig(
    sources=SOURCES,
    encoder_filters=16,
    bottleneck_channels=8,
    block_channels=16,
    blocks_per_repeat=2,
)


def write_tiny_model(path: Path, seed: int = 0) -> Path:
    """Write a checkpoint with the weights that `seed` gives."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ConvTasNet(TINY)
    # Random weights are far louder than trained ones; this brings the estimates below the mix.
    network.decoder.basis_signals.weight.data *= 0.1
    save_checkpoint(path, network.state_dict(), TINY)
    return path
