"""The network has the published names and sizes, and keeps any length."""

import pytest
import torch

from ugosa_server.errors import BadOptionError
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet, GlobalLayerNorm

TINY = ConvTasNetConfig(
    encoder_filters=16,
    encoder_length=20,
    bottleneck_channels=8,
    block_channels=12,
    blocks_per_repeat=3,
    repeats=2,
)

PUBLISHED_SHAPES = {
    "encoder.conv1d_U.weight": (256, 2, 20),
    "separator.network.0.gamma": (1, 256, 1),
    "separator.network.0.beta": (1, 256, 1),
    "separator.network.1.weight": (256, 256, 1),
    "separator.network.3.weight": (1024, 256, 1),
    "decoder.basis_signals.weight": (40, 256),
}
PUBLISHED_BLOCK_SHAPES = {
    "net.0.weight": (512, 256, 1),
    "net.1.weight": (1,),
    "net.2.gamma": (1, 512, 1),
    "net.2.beta": (1, 512, 1),
    "net.3.net.0.weight": (512, 1, 3),
    "net.3.net.1.weight": (1,),
    "net.3.net.2.gamma": (1, 512, 1),
    "net.3.net.2.beta": (1, 512, 1),
    "net.3.net.3.weight": (256, 512, 1),
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ConvTasNet(TINY).eval()


def test_full_size_has_the_published_names_shapes_and_count():
    with torch.device("meta"):
        state = ConvTasNet().state_dict()
    blocks = {
        f"separator.network.2.{r}.{x}.{name}": shape
        for r in range(4)
        for x in range(10)
        for name, shape in PUBLISHED_BLOCK_SHAPES.items()
    }
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == PUBLISHED_SHAPES | blocks
    assert sum(tensor.numel() for tensor in state.values()) == 10_977_872


@pytest.mark.parametrize("n_samples", [1, 19, 20, 21, 30, 441, 1000, 4410])
def test_output_has_the_length_of_the_input(network, n_samples):
    mix = torch.randn(2, 2, n_samples)
    assert network(mix).shape == network.plain_forward(mix).shape == (2, 4, 2, n_samples)


def test_samples_after_the_last_whole_frame_are_zero_not_shifted(network):
    whole, longer = torch.randn(1, 2, 400), torch.zeros(1, 2, 409)
    longer[..., :400] = whole
    torch.testing.assert_close(network(longer)[..., :400], network(whole))
    assert not network(longer)[..., 400:].any()


def test_global_norm_is_the_papers_formula():
    norm = GlobalLayerNorm(12)
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    x = torch.randn(3, 12, 50) * 5 + 2
    mean = x.mean(dim=(1, 2), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(1, 2), keepdim=True)
    expected = norm.gamma * (x - mean) / torch.sqrt(variance + 1e-8) + norm.beta
    torch.testing.assert_close(norm(x), expected)


def test_decoder_overlaps_frames_by_half(network):
    w = torch.rand(1, 16, 5)
    masks = torch.rand(1, 4, 16, 5)
    frames = torch.einsum(
        "ckn,bsnt->bsctk", network.decoder.basis_signals.weight.view(2, 20, 16), w[:, None] * masks
    )
    expected = torch.zeros(1, 4, 2, 60)
    for t in range(5):
        expected[..., 10 * t : 10 * t + 20] += frames[..., t, :]
    torch.testing.assert_close(network.decoder(w[:, None] * masks), expected)


@pytest.mark.parametrize(
    "wrong", [{"encoder_length": 21}, {"kernel_size": 2}, {"repeats": 0}, {"sources": ()}]
)
def test_sizes_that_cannot_work_are_refused(wrong):
    with pytest.raises(BadOptionError):
        ConvTasNetConfig(**wrong)
