"""Older checkpoints: sizes from their tensors, names from their arguments, and nothing taken on trust."""

import sys
import types
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.errors import CheckpointError
from ugosa_server.files import sha256_of_file
from ugosa_server.models.checkpoints import weights_digest
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.legacy import read_legacy_checkpoint

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def saved(path, state):
    torch.save(state, path)
    return path


def test_all_layouts_hold_the_same_network():
    read = {path: read_legacy_checkpoint(path, sha256_of_file(path)) for path in GOLDEN.glob("*.th")}
    assert len({weights_digest(state) for _, state in read.values()}) == 1
    for path, (config, _) in read.items():
        # A bare state dict does not say its rate: it is the published one.
        assert config.sample_rate_hz == (44100 if path.name.startswith("plain") else 8000)
        assert config.sources == ("drums", "bass", "other", "vocals")
        assert (config.encoder_filters, config.blocks_per_repeat, config.repeats) == (16, 2, 4)


def test_a_state_dict_needs_no_sha256_but_a_named_class_does():
    read_legacy_checkpoint(next(GOLDEN.glob("plain-*.th")))
    for name in ("v1_tuple.th", "v2_training.th"):
        with pytest.raises(CheckpointError, match="opened only if you say its sha256"):
            read_legacy_checkpoint(GOLDEN / name)


@pytest.mark.parametrize(
    ("sha256", "words"), [("0" * 64, "it is not that file"), ("52d1", "first 8 or more")]
)
def test_another_sha256_is_refused_before_the_file_is_opened(sha256, words):
    with pytest.raises(CheckpointError, match=words):
        read_legacy_checkpoint(GOLDEN / "v2_training.th", sha256)


def test_the_published_sizes_are_found_from_the_tensors_alone(tmp_path):
    config = ConvTasNetConfig()
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in ConvTasNet(config).state_dict().items()}
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}  # one number each on disk
    assert read_legacy_checkpoint(saved(tmp_path / "full.th", state))[0] == config


def test_other_sources_are_named_by_the_caller(tmp_path):
    config = ConvTasNetConfig(**{**vars(TINY), "sources": ("voice", "rest"), "sample_rate_hz": 44100})
    path = saved(tmp_path / "two.th", tiny_network(config=config).state_dict())
    with pytest.raises(CheckpointError, match="has 2 sources, but their names are None"):
        read_legacy_checkpoint(path)
    with pytest.raises(CheckpointError, match="has 2 sources"):
        read_legacy_checkpoint(path, sources=["voice"])
    assert read_legacy_checkpoint(path, sources=["voice", "rest"])[0] == config


def changed(name, tensor):
    return {**tiny_network().state_dict(), name: tensor}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "known layouts"),
        ([1, 2], "known layouts"),
        ({"encoder.conv1d_U.weight": torch.ones(2, 2)}, "missing or odd"),
        (changed("separator.network.0.gamma", torch.ones(1, 3, 1)), "network.0.gamma .* does not fit"),
        (changed("encoder.1.weight", torch.ones(1)), "encoder.1.weight .* does not fit"),
        (changed("decoder.basis_signals.weight", torch.full((32, 16), torch.nan)), "no finite numbers"),
        (changed("decoder.basis_signals.weight", torch.ones(32, 16, dtype=torch.int32)), "no finite numbers"),
    ],
)
def test_what_is_no_convtasnet_is_refused_by_name(tmp_path, content, words):
    with pytest.raises(CheckpointError, match=words) as error:
        read_legacy_checkpoint(saved(tmp_path / "odd.th", content))
    assert "odd.th" in error.value.message


@pytest.mark.parametrize("kwargs", [{"norm_type": "cLN"}, {"causal": True}, {"mask_nonlinear": "softmax"}])
def test_another_variant_of_the_network_is_refused_by_its_argument(tmp_path, monkeypatch, kwargs):
    klass = type("ConvTasNet", (), {"__module__": "demucs.tasnet"})
    monkeypatch.setitem(sys.modules, "demucs.tasnet", types.SimpleNamespace(ConvTasNet=klass))
    content = {"klass": klass, "args": (), "kwargs": kwargs, "state": tiny_network().state_dict()}
    path = saved(tmp_path / "variant.th", content)
    with pytest.raises(CheckpointError, match=f"variant.th has {next(iter(kwargs))}="):
        read_legacy_checkpoint(path, sha256_of_file(path))
