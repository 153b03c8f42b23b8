"""A network small enough that adaptation takes milliseconds, and a song and marks to go with it."""

import numpy as np
import torch

from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

TINY = ConvTasNetConfig(
    encoder_filters=16,
    encoder_length=16,
    bottleneck_channels=8,
    block_channels=16,
    blocks_per_repeat=2,
    repeats=4,
    sample_rate_hz=8000,
)


def tiny_network(seed=0, config=TINY):
    torch.manual_seed(seed)
    return ConvTasNet(config).eval().requires_grad_(False)


def noise_song(n_frames, channels=2, seed=0):
    """[T, C] float32."""
    return np.random.default_rng(seed).normal(size=(n_frames, channels)).astype(np.float32)


def first_half_silent(source_index, n_frames, sources=TINY.sources):
    """Marks in which one source is silent in the first half of the song."""
    return MarkSet((Mark(sources[source_index], MarkState.SILENT, 0, n_frames // 2),))
