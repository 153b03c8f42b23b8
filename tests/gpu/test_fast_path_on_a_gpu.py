"""On a GPU the fast path computes what the readable modules compute, and adaptation is the same every time.

python -m pytest -m gpu
"""

import numpy as np
import pytest
import torch

from tests.helpers.plain_twin import plain_twin
from tests.helpers.tiny_network import first_half_silent, noise_song, tiny_network
from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.prefix_cache import CacheBudget, PrefixCache
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.config import WorkerSettings
from ugosa_server.models.checkpoints import weights_digest
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.separation.options import SeparationOptions
from ugosa_server.separation.overlap_add import separate_in_segments

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SONG, MARKS = noise_song(8000), first_half_silent(1, 8000)


@pytest.fixture(autouse=True)
def deterministic():
    ResidentNetworks(WorkerSettings("cuda"))  # which sets the process as a worker has it


def assert_close(ours, plain, tolerance):
    assert (ours - plain).abs().max() <= tolerance * plain.abs().max()


def test_stems_and_gradients_of_the_published_sizes():
    torch.manual_seed(0)
    network = ConvTasNet(ConvTasNetConfig()).eval().cuda()
    mix = torch.randn(2, 2, 44100, device="cuda")
    results = []
    for forward in (network, network.plain_forward):
        network.zero_grad()
        stems = forward(mix)
        stems.abs().mean().backward()
        results.append((stems.detach(), {n: p.grad.clone() for n, p in network.named_parameters()}))
    (ours, our_gradients), (plain, plain_gradients) = results
    assert_close(ours, plain, 1e-4)
    for name, gradient in plain_gradients.items():
        if gradient.numel() > 1:  # a slope's gradient is a sum of terms that cancel
            assert_close(our_gradients[name], gradient, 1e-2)


@pytest.mark.parametrize("strategy", ["P-L1:D", "P-L3:D", "P-L4:D", "P-L5:D"])
def test_fifty_steps_of_adaptation_end_where_the_modules_end(strategy):
    options = AdaptationOptions(strategy, learning_rate=3e-3, epochs=10, segment_s=0.2)
    stems = []
    for network in (tiny_network(), plain_twin(tiny_network())):
        network.cuda()
        with adaptation_of(network, parse_strategy(strategy)) as parameters:
            for _ in adapt(network, parameters, SONG, MARKS, options, seed=3):
                pass
            with torch.inference_mode():
                stems.append(network(torch.from_numpy(SONG.T.copy())[None].cuda()))
    assert_close(stems[0], stems[1], 1e-3)


def test_the_same_seed_gives_the_same_bits_wherever_features_lie(monkeypatch, tmp_path):
    options = AdaptationOptions("P-L3:D", learning_rate=1e-2, epochs=3, segment_s=0.2)
    digests = set()
    for gpu_share, budget in (
        (0.5, CacheBudget()),
        (0.5, CacheBudget()),
        (0.0, CacheBudget()),
        (0.0, CacheBudget(0, 1 << 20, tmp_path)),
        (0.0, CacheBudget(0)),
    ):
        monkeypatch.setattr("ugosa_server.adaptation.prefix_cache.GPU_SHARE", gpu_share)
        network = tiny_network().cuda()
        with adaptation_of(network, parse_strategy("P-L3:D")) as parameters:
            for _ in adapt(network, parameters, SONG, MARKS, options, seed=3, cache_budget=budget):
                pass
            digests.add(weights_digest({n: t.cpu() for n, t in network.state_dict().items()}))
    assert len(digests) == 1


def test_features_are_kept_on_the_gpu_first():
    network = tiny_network().cuda()
    with PrefixCache(network, parse_strategy("P-L3:D").depth, CacheBudget()) as cache:
        cache.separate([torch.randn(2, 800, device="cuda")], ["key"], torch.ones(1, 4, 800, device="cuda"))
        on_gpu, in_memory = cache.kept_bytes
    assert on_gpu > 0 == in_memory


@pytest.mark.parametrize("shifts", [0, 2])
def test_beginning_segments_ahead_changes_no_bit(shifts, monkeypatch):
    network, options = tiny_network().cuda(), SeparationOptions(0.1, 0.25, shifts)
    stems = []
    for n_ahead in (0, 1):
        monkeypatch.setattr("ugosa_server.separation.overlap_add.segments_ahead", lambda device, n=n_ahead: n)
        blocks = separate_in_segments(
            lambda mix, start: network(mix), SONG, network.config.sample_rate_hz, options, 0, "cuda"
        )
        stems.append(np.concatenate(list(blocks), axis=-1))
    np.testing.assert_array_equal(*stems)
