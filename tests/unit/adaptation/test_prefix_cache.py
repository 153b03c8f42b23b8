"""The prefix cache keeps what fits, in memory then on disk, gives back the same bits and leaves nothing."""

import resource
import shutil
import weakref
from collections import Counter
from contextlib import contextmanager

import pytest
import torch

from tests.helpers.plain_spleeter import tiny_spleeter
from tests.helpers.tiny_band import tiny_band
from tests.helpers.tiny_network import tiny_network
from ugosa_server.adaptation import prefix_cache
from ugosa_server.adaptation.prefix_cache import CacheBudget, PrefixCache
from ugosa_server.models.config import Depth

DEPTH = Depth(3, "D")
SEGMENTS = [torch.randn(2, 800, generator=torch.Generator().manual_seed(i)) for i in range(5)]
FEATURE_BYTES = (800 // 8 - 1) * 8 * 4  # [K, B_ch] float32
LOTS = 1 << 20
MARKS = torch.ones(1, 4, 800)


@pytest.fixture
def network(monkeypatch):
    network = tiny_network()
    computed = Counter()
    frozen_part = network.frozen_part

    def counting(mix, depth):
        computed[float(mix[0, 0, 0])] += 1
        return frozen_part(mix, depth)

    monkeypatch.setattr(network, "frozen_part", counting)
    network.computed = computed
    return network


def visit_three_times(network, budget):
    """Stems of every segment in every epoch; how often each prefix was computed; what the tiers held."""
    with PrefixCache(network, DEPTH, budget) as cache:
        stems = [
            [cache.separate([segment], [key], MARKS) for key, segment in enumerate(SEGMENTS)]
            for _ in range(3)
        ]
        held = cache.kept_bytes
    assert cache.kept_bytes == [0] * len(held)
    return stems, [network.computed[float(segment[0, 0])] for segment in SEGMENTS], held


@pytest.mark.parametrize(
    ("memory", "disk", "computed", "held"),
    [
        (LOTS, LOTS, [1, 1, 1, 1, 1], [5, 0]),
        (2 * FEATURE_BYTES, LOTS, [1, 1, 1, 1, 1], [2, 3]),
        (2 * FEATURE_BYTES, 2 * FEATURE_BYTES + 1, [1, 1, 1, 1, 3], [2, 2]),
        (0, LOTS, [1, 1, 1, 1, 1], [0, 5]),
        (FEATURE_BYTES, 0, [1, 3, 3, 3, 3], [1]),
    ],
)
def test_memory_is_filled_first_then_disk_then_nothing(network, tmp_path, memory, disk, computed, held):
    stems, times, kept_bytes = visit_three_times(network, CacheBudget(memory, disk, tmp_path))
    assert times == computed
    assert kept_bytes == [n * FEATURE_BYTES for n in held]
    plain, _, _ = visit_three_times(tiny_network_counting_nothing(), CacheBudget(0))
    for epoch in stems:
        assert all(torch.equal(ours, expected) for ours, expected in zip(epoch, plain[0], strict=True))
    assert not list(tmp_path.iterdir())


def tiny_network_counting_nothing():
    network = tiny_network()
    network.computed = Counter()
    return network


def test_features_on_disk_leave_the_memory(network, tmp_path, monkeypatch):
    made = []
    frozen_part = network.frozen_part

    def watched(mix, depth):
        features = frozen_part(mix, depth)
        made.extend(map(weakref.ref, features))
        return features

    monkeypatch.setattr(network, "frozen_part", watched)
    with PrefixCache(network, DEPTH, CacheBudget(2 * FEATURE_BYTES, LOTS, tmp_path)) as cache:
        for key, segment in enumerate(SEGMENTS):
            with torch.no_grad():
                cache.separate([segment], [key], MARKS)
        held = [features for ref in made if (features := ref()) is not None]
    assert len(made) == len(SEGMENTS)
    assert len(held) == 2
    assert sum(features.untyped_storage().nbytes() for features in held) == 2 * FEATURE_BYTES


@pytest.mark.parametrize("make", [tiny_spleeter, tiny_band])
def test_several_features_come_back_with_their_bits_and_layout(make, tmp_path):
    network, mix = make(), torch.randn(2, 30_000)
    with torch.no_grad():
        features = network.frozen_part(mix[None], DEPTH)
        with PrefixCache(network, DEPTH, CacheBudget(0, LOTS << 5, tmp_path)) as cache:
            first, second = (cache.separate([mix], ["only"], MARKS) for _ in range(2))
            assert cache.kept_bytes == [0, sum(feature.nbytes for feature in features)]
        assert torch.equal(first, second)
        assert torch.equal(first, network.trained_part(mix[None], features, DEPTH))


def test_the_disk_keeps_its_reserve(network, tmp_path, monkeypatch):
    monkeypatch.setattr(prefix_cache, "DISK_RESERVE_BYTES", shutil.disk_usage(tmp_path).total)
    _, times, held = visit_three_times(network, CacheBudget(0, LOTS, tmp_path))
    assert times == [3] * 5
    assert held == [0, 0]


def test_disk_that_takes_nothing_costs_time_only(network, tmp_path, caplog, no_file_grows):
    with PrefixCache(network, DEPTH, CacheBudget(0, LOTS, tmp_path)) as cache:
        with no_file_grows():
            first = cache.separate([SEGMENTS[0]], ["only"], MARKS)
        second = cache.separate([SEGMENTS[0]], ["only"], MARKS)
    assert torch.equal(first, second)
    assert list(network.computed.values()) == [2]
    assert "computed again" in caplog.text


@pytest.fixture
def no_file_grows():
    """Refuse every write beyond a few bytes of a file, as a full disk does."""

    @contextmanager
    def limit():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
