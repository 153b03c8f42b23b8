"""A band small enough for tests."""

import torch

from tests.helpers.plain_spleeter import tiny_spleeter
from ugosa_server.models.band.config import BandConfig
from ugosa_server.models.band.network import BandNetwork
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig

TINY_SECOND = ConvTasNetConfig(
    encoder_filters=16,
    encoder_length=64,
    bottleneck_channels=8,
    block_channels=16,
    blocks_per_repeat=2,
    repeats=4,
)

SHARES = (0.6, 0.5, 0.3)


def tiny_band(seed=0):
    first = tiny_spleeter(seed=seed)
    torch.manual_seed(seed)
    band = BandNetwork(BandConfig(first.config, TINY_SECOND, SHARES))
    band.first.load_state_dict(first.state_dict())
    return band.eval().requires_grad_(False)
