"""The fast path computes what the readable modules compute: stems, gradients, 50 steps of adaptation."""

import gc

import pytest
import torch
from torch.profiler import ProfilerActivity

from tests.helpers.plain_twin import plain_twin
from tests.helpers.tiny_network import first_half_silent, noise_song, tiny_network
from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.models.config import ALL_DEPTHS
from ugosa_server.models.conv_tasnet import fast_layers
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.fast import have_opposite_halves
from ugosa_server.models.conv_tasnet.network import ConvTasNet

SIZES = {
    "published kind": ConvTasNetConfig(
        encoder_filters=16, bottleneck_channels=8, block_channels=12, blocks_per_repeat=4, repeats=2
    ),
    "long frames": ConvTasNetConfig(
        encoder_filters=24, encoder_length=64, bottleneck_channels=8, block_channels=16, repeats=1
    ),
    "other taps": ConvTasNetConfig(
        sources=("a", "b", "c"),
        audio_channels=1,
        encoder_filters=10,
        bottleneck_channels=6,
        block_channels=14,
        kernel_size=5,
        blocks_per_repeat=3,
        repeats=2,
    ),
    "one tap": ConvTasNetConfig(
        encoder_filters=8,
        bottleneck_channels=4,
        block_channels=8,
        kernel_size=1,
        blocks_per_repeat=2,
        repeats=1,
    ),
}
# Chunks of some hundred frames below: less than a chunk, one edge inside a chunk, many chunks.
LENGTHS = {"one sample": 1, "shorter than the dilations": 90, "a few chunks": 5003}


def awkward_network(config, shared=None):
    """Float64, so that nothing but a mistake differs; norms that do something, one slope below zero."""
    torch.manual_seed(1)
    network = ConvTasNet(config, shared).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        network.separator.network[2][0][0].net[1].weight.fill_(-0.3)
    return network


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(fast_layers, "CHUNK_FLOATS_A_THREAD", 1000)


def assert_close(ours, plain, tolerance):
    assert ours.shape == plain.shape
    assert (ours - plain).abs().max() <= tolerance * plain.abs().max()


@pytest.mark.parametrize("shared", [None, 1], ids=["own stems", "shared source"])
@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES)
def test_stems_and_all_gradients_are_those_of_the_modules(config, length, shared):
    network = awkward_network(config, shared)
    mix = torch.randn(2, config.audio_channels, length, dtype=torch.float64)
    n_stems = len(config.sources) - (shared is not None)
    probe = torch.randn(2, n_stems, config.audio_channels, length, dtype=torch.float64)
    results = []
    for forward in (network, network.plain_forward):
        network.zero_grad()
        stems = forward(mix)
        (stems * probe).sum().backward()
        results.append((stems.detach(), {n: p.grad.clone() for n, p in network.named_parameters()}))
    (ours, our_gradients), (plain, plain_gradients) = results
    assert_close(ours, plain, 1e-12)
    scale = max(gradient.abs().max() for gradient in plain_gradients.values())
    for name, gradient in plain_gradients.items():
        assert (our_gradients[name] - gradient).abs().max() <= 1e-12 * scale, name
    with torch.inference_mode():
        assert_close(network(mix), plain, 1e-12)


@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES)
def test_gpu_branches_compute_the_same(config, monkeypatch):
    network = awkward_network(config)
    mix = torch.randn(2, config.audio_channels, 3001, dtype=torch.float64)
    results = []
    for on_cpu in (True, False):
        monkeypatch.setattr(fast_layers, "on_cpu", lambda x, on_cpu=on_cpu: on_cpu)
        network.zero_grad()
        stems = network(mix)
        stems.square().sum().backward()
        results.append((stems.detach(), [p.grad.clone() for p in network.parameters()]))
    (cpu, cpu_gradients), (gpu, gpu_gradients) = results
    assert_close(gpu, cpu, 1e-12)
    scale = max(gradient.abs().max() for gradient in cpu_gradients)
    for ours, expected in zip(gpu_gradients, cpu_gradients, strict=True):
        assert (ours - expected).abs().max() <= 1e-12 * scale


def test_float32_stays_within_a_ten_thousandth():
    torch.manual_seed(0)
    network = ConvTasNet(
        ConvTasNetConfig(encoder_filters=64, bottleneck_channels=64, block_channels=128)
    ).eval()
    mix = torch.randn(1, 2, 44100)
    with torch.inference_mode():
        assert_close(network(mix), network.plain_forward(mix), 1e-4)


@pytest.mark.parametrize("depth", ALL_DEPTHS, ids=str)
def test_the_two_parts_make_the_whole_at_every_depth(depth):
    network = tiny_network().eval()
    mix = torch.randn(1, 2, 3000)
    (features,) = network.frozen_part(mix, depth)
    kept = features.clone()
    for _ in range(2):  # the kept features are not written over
        torch.testing.assert_close(network.trained_part(mix, [features], depth), network.plain_forward(mix))
    assert torch.equal(features, kept)


@pytest.mark.parametrize("strategy", ["P-L1:D", "P-L2:3", "P-L3:D", "P-L4:D", "P-L5:D"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_fifty_steps_of_adaptation_end_where_the_modules_end(strategy, batch_size):
    song, marks = noise_song(8000), first_half_silent(1, 8000)
    options = AdaptationOptions(
        strategy, learning_rate=3e-3, epochs=10 * batch_size, segment_s=0.2, batch_size=batch_size
    )
    stems = []
    for network in (tiny_network(), plain_twin(tiny_network())):
        with adaptation_of(network, parse_strategy(strategy)) as parameters:
            steps = list(adapt(network, parameters, song, marks, options, seed=3))
            assert len(steps) >= 50
            with torch.inference_mode():
                stems.append(network(torch.from_numpy(song.T.copy())[None]))
    with torch.inference_mode():
        unadapted = tiny_network()(torch.from_numpy(song.T.copy())[None])
    assert (stems[1] - unadapted).abs().max() > 1e-2 * unadapted.abs().max()  # there was something to follow
    assert_close(stems[0], stems[1], 1e-3)


def test_training_mode_runs_the_modules():
    network = tiny_network().requires_grad_(True).train()
    mix = torch.randn(2, 2, 800)
    assert torch.equal(network(mix), network.plain_forward(mix))
    assert not torch.equal(network.eval()(mix), network.plain_forward(mix))  # the same up to rounding only
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(mix), network.plain_forward(mix))


def live_bytes():
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_memory_of_steps_is_flat_and_freed_at_the_end():
    network, strategy = tiny_network(), parse_strategy("P-L1:D")
    base = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    song, marks = noise_song(8000), first_half_silent(1, 8000)
    options = AdaptationOptions("P-L1:D", learning_rate=1e-3, epochs=4, segment_s=0.5)
    before = live_bytes()
    with adaptation_of(network, strategy) as parameters:
        steps = [live_bytes() for _ in adapt(network, parameters, song, marks, options, seed=0)]
    by_epoch = [steps[i : i + 2] for i in range(2, 8, 2)]  # the first one fills the memory
    assert by_epoch == [by_epoch[0]] * 3
    assert before < min(by_epoch[0])
    del parameters
    assert live_bytes() == before
    assert all(torch.equal(tensor, base[name]) for name, tensor in network.state_dict().items())


def test_memory_of_three_separations_is_flat():
    network, mix = tiny_network(), torch.randn(1, 2, 8000)
    before = live_bytes()
    after = []
    for _ in range(3):
        with torch.inference_mode():
            network(mix)
        after.append(live_bytes())
    assert after == [before] * 3


def test_second_backward_pass_fails():
    network = tiny_network().requires_grad_(True)
    loss = network(torch.randn(1, 2, 500)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(TypeError):
        loss.backward()


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_networks_of_opposite_filters_separate_with_half_of_them(length):
    config = ConvTasNetConfig(
        encoder_filters=32, encoder_length=64, bottleneck_channels=8, block_channels=16, repeats=1
    )
    network = awkward_network(config)
    with torch.no_grad():
        for basis, dim in ((network.encoder.conv1d_U.weight, 0), (network.decoder.basis_signals.weight, 1)):
            first, second = basis.chunk(2, dim=dim)
            second.copy_(-first)
        assert have_opposite_halves(network.decoder.basis_signals.weight, dim=1)
        mix = torch.randn(2, 2, length, dtype=torch.float64)
        torch.testing.assert_close(network(mix), network.plain_forward(mix), rtol=1e-9, atol=1e-12)
        network.decoder.basis_signals.weight[0, 0] += 1  # as after a step of adaptation
        assert not have_opposite_halves(network.decoder.basis_signals.weight, dim=1)
        torch.testing.assert_close(network(mix), network.plain_forward(mix), rtol=1e-9, atol=1e-12)


CHANGES = {
    "an optimiser's step": lambda filters, other: torch._foreach_copy_([filters], [other]),
    "a view": lambda filters, other: filters[3:4].add_(1),
    "a state dict": lambda filters, other: _layer_of(filters).load_state_dict({"weight": other}),
    "other memory": lambda filters, other: setattr(filters, "data", other),
}


def _layer_of(filters):
    layer = torch.nn.Linear(*reversed(filters.shape), bias=False)
    layer.weight = filters
    return layer


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_opposite_filters_are_noticed_after_every_change(change, mode):
    half = torch.randn(4, 6)
    filters = torch.nn.Parameter(torch.cat([half, -half]))
    with mode():
        assert [have_opposite_halves(filters, dim=0) for _ in range(2)] == [True] * 2
    with torch.no_grad():
        change(filters, torch.randn(8, 6))
    with mode():
        assert [have_opposite_halves(filters, dim=0) for _ in range(2)] == [False] * 2
    with torch.no_grad():
        filters.copy_(torch.cat([half, -half]))
    with mode():
        assert have_opposite_halves(filters, dim=0)


def test_opposite_filters_made_in_inference_mode_are_noticed():
    half = torch.randn(4, 6)
    with torch.inference_mode():
        filters = torch.cat([half, -half])
        assert have_opposite_halves(filters, dim=0)
        filters[0] += 1
        assert not have_opposite_halves(filters, dim=0)


def test_weights_that_stay_are_compared_once():
    network, mix = tiny_network(), torch.randn(1, 2, 500)
    operators = []
    for _ in range(2):
        with torch.inference_mode(), torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profile:
            network(mix)
        operators.append({event.key for event in profile.key_averages()})
    assert operators[0] - operators[1] >= {"aten::equal"}
