"""A widened network goes on where the old one stood, and returns more of the mix."""

from dataclasses import replace

import numpy as np
import torch

from ugosa_research.songs.basis import frequencies_hz, start_from_cosines
from ugosa_research.training.twin_filters import has_twin_filters
from ugosa_research.training.validation import sdr_db
from ugosa_research.training.widen import nearest_filters, widened
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

OLD = ConvTasNetConfig(
    encoder_filters=128,
    encoder_length=256,
    bottleneck_channels=24,
    block_channels=32,
    blocks_per_repeat=3,
    repeats=2,
)
NEW = replace(OLD, encoder_filters=256)


def networks():
    torch.manual_seed(0)
    old = ConvTasNet(OLD).eval()
    start_from_cosines(old)
    with torch.no_grad():  # as if trained: masks that differ by source and filter
        masks = old.separator.network[3].weight
        masks[:, 0] *= 1 + 0.5 * torch.randn(len(masks), 1)
    new = ConvTasNet(NEW).eval()
    new.load_state_dict(widened(old.state_dict(), OLD, NEW))
    return old, new


def test_it_separates_as_before():
    old, new = networks()
    time_s = torch.arange(20_000) / OLD.sample_rate_hz
    mix = sum(torch.sin(2 * np.pi * hz * time_s) for hz in frequencies_hz(OLD)[0][[1, 3, 6]]).expand(1, 2, -1)
    with torch.inference_mode():
        before, after = old(mix)[0], new(mix)[0]
    own, of_others = sdr_db(before, after), sdr_db(before, before.roll(1, dims=0))
    assert own.min() > 10
    assert (own - of_others).min() > 6


def test_it_returns_more_of_a_mix_with_highs():
    old, new = networks()
    mix = torch.randn(1, 2, 20_000)
    with torch.inference_mode():
        errors = [float((network(mix)[0].sum(dim=0) - mix[0]).square().mean()) for network in (old, new)]
    assert errors[1] < 0.95 * errors[0]
    assert has_twin_filters(new)


def test_new_filters_copy_their_nearest_at_equal_input_power():
    old, new = networks()
    nearest = nearest_filters(OLD, NEW)
    assert set(nearest) == set(range(OLD.encoder_filters))
    before, after = (network.encoder.conv1d_U.weight.flatten(1).double() for network in (old, new))
    before, after = (torch.nn.functional.normalize(filters) for filters in (before, after))
    likeness = (after * before[nearest]).sum(dim=1)
    assert likeness.min() > -0.3  # never the other sign
    assert likeness.median() > 0.5
    hears = [network.separator.network[1].weight.sum(dim=1) for network in (old, new)]
    torch.testing.assert_close(hears[1], hears[0])
