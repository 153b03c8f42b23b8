"""Strategies have the paper's names and train exactly what the paper counts."""

import pytest
import torch

from ugosa_server.adaptation.loop import adaptation_of
from ugosa_server.adaptation.strategies import (
    ALL_STRATEGIES,
    UNADAPTED,
    parse_strategy,
    require_strategy_exists,
)
from ugosa_server.errors import BadOptionError
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

PUBLISHED = ConvTasNetConfig()


def test_every_name_reads_back_as_itself():
    names = [str(strategy) for strategy in ALL_STRATEGIES]
    assert len(set(names)) == 3 * (4 * 3 + 1) + 1
    assert [str(parse_strategy(name)) for name in names] == names


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("P-L1:D", 8_244_284),
        ("P-L1:M", 8_234_044),
        ("P-L2:D", 5_586_984),
        ("P-L2:M", 5_576_744),
        ("P-L3:D", 2_929_684),
        ("P-L3:M", 2_919_444),
        ("P-L3:3", 2_657_300),
        ("P-L4:D", 403_456),
        ("P-L4:M", 393_216),
        ("P-L4:3", 131_072),
        ("R-L3:M", 2_919_444),
        ("B-L5:D", 10_240),
        ("B0", 0),
    ],
)
def test_the_published_network_has_the_papers_trainable_counts(name, count):
    with torch.device("meta"), adaptation_of(ConvTasNet(PUBLISHED), parse_strategy(name)) as trained:
        assert sum(parameter.numel() for parameter in trained.values()) == count


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("P-L3D", "'P-L3:D'"),
        ("p-l3:d", "'P-L3:D'"),
        ("P-L5:M", "use P-L5:D"),
        ("B-L5:3", "use B-L5:D"),
        ("R-L5:M", "use R-L5:D"),
        ("everything", "'B0'"),
    ],
)
def test_wrong_name_is_refused_with_the_way_out(name, words):
    with pytest.raises(BadOptionError, match=words) as error:
        parse_strategy(name)
    assert repr(name) in error.value.message


def test_l3_is_the_last_repeat_of_any_network():
    two_repeats = ConvTasNetConfig(repeats=2, blocks_per_repeat=1)
    names = ConvTasNet(two_repeats).trained_parameters(parse_strategy("P-L3:3").depth)
    assert names
    assert all(name.startswith("separator.network.2.1.") for name in names)
    for fits in ("P-L2:D", "B-L3:M", "B0"):
        require_strategy_exists(parse_strategy(fits), two_repeats)
    with pytest.raises(BadOptionError, match=r"P-L1:D .* has no L1:D; its depths are L2:D, "):
        require_strategy_exists(parse_strategy("P-L1:D"), two_repeats)


def test_b0_trains_nothing_and_uses_no_marks():
    assert parse_strategy("B0") == UNADAPTED
    assert UNADAPTED.depth is None
    assert not UNADAPTED.uses_marks
