"""The cheap step is the network itself, and is only taken where that is true."""

import torch

from ugosa_research.songs.basis import start_from_cosines
from ugosa_research.training.twin_filters import has_twin_filters, separate_with_twins
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.fast import Scratch
from ugosa_server.models.conv_tasnet.network import ConvTasNet

CONFIG = ConvTasNetConfig(
    encoder_filters=64,
    encoder_length=128,
    bottleneck_channels=24,
    block_channels=32,
    blocks_per_repeat=3,
    repeats=2,
)


def test_estimates_and_gradients_are_those_of_the_network():
    torch.manual_seed(0)
    network = ConvTasNet(CONFIG).double()
    start_from_cosines(network)
    assert has_twin_filters(network)
    mix = torch.randn(2, 2, 3000, dtype=torch.float64)
    weights = list(network.separator.parameters())
    results = []
    for separate in (network, lambda mix: separate_with_twins(network, mix, Scratch())):
        estimates = separate(mix)
        gradients = torch.autograd.grad(estimates.square().sum(), weights)
        results.append((estimates.detach(), *gradients))
    for plain, cheap in zip(*results, strict=True):
        torch.testing.assert_close(cheap, plain)


def test_other_filters_are_told_apart():
    network = ConvTasNet(CONFIG)
    assert not has_twin_filters(network)
    start_from_cosines(network)
    with torch.no_grad():
        network.decoder.basis_signals.weight[0, 0] += 1
    assert not has_twin_filters(network)
