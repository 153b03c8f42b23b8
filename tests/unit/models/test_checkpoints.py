"""Checkpoints keep weights and sizes, refuse other files, and have digests of their bits."""

import pytest
import torch
from safetensors.torch import save_file

from ugosa_server.errors import CheckpointError
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint, weights_digest
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

TINY = ConvTasNetConfig(
    sources=("a", "b"),
    encoder_filters=8,
    encoder_length=6,
    bottleneck_channels=4,
    block_channels=6,
    blocks_per_repeat=2,
    repeats=1,
)


@pytest.fixture
def state():
    torch.manual_seed(0)
    return ConvTasNet(TINY).state_dict()


def test_round_trip_is_bit_identical(tmp_path, state):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, state, TINY, {"seed": "7"})
    config, loaded = load_checkpoint(path)
    assert config == TINY
    assert weights_digest(loaded) == weights_digest(state)
    assert read_header(path).metadata == {"seed": "7"}
    assert read_header(path).config == TINY
    ConvTasNet(config).load_state_dict(loaded)


def test_float16_storage_loads_as_float32(tmp_path, state):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, state, TINY, dtype=torch.float16)
    _, loaded = load_checkpoint(path)
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    for name, tensor in loaded.items():
        torch.testing.assert_close(tensor, state[name], atol=1e-3, rtol=1e-3)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, state, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, state, TINY)
    before = path.read_bytes()

    def power_fails(_descriptor):
        raise OSError("power fails")

    monkeypatch.setattr("ugosa_server.files.os.fsync", power_fails)
    with pytest.raises(OSError, match="power fails"):
        save_checkpoint(path, {name: tensor + 1 for name, tensor in state.items()}, TINY)
    assert path.read_bytes() == before


def test_digest_sees_one_bit_and_ignores_order(state):
    digest = weights_digest(state)
    assert digest == weights_digest(dict(reversed(state.items())))
    name = "decoder.basis_signals.weight"
    changed = state | {name: state[name].clone()}
    changed[name].view(torch.int32)[0, 0] ^= 1
    assert weights_digest(changed) != digest


def test_unreadable_files_are_refused_by_name(tmp_path, state):
    absent, garbage, foreign = tmp_path / "absent", tmp_path / "garbage", tmp_path / "foreign"
    garbage.write_bytes(b"\x80\x04pickle" * 100)
    save_file(state, foreign)
    for path in (absent, garbage, foreign):
        with pytest.raises(CheckpointError, match=path.name):
            load_checkpoint(path)


def test_a_truncated_file_is_refused(tmp_path, state):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, state, TINY)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a readable"):
        load_checkpoint(path)


def test_sizes_that_cannot_work_are_refused(tmp_path, state):
    path = tmp_path / "a.safetensors"
    sizes = '{"sources": ["a"], "repeats": 0}'
    save_file(state, path, metadata={"format": "ugosa-convtasnet-1", "config": sizes})
    with pytest.raises(CheckpointError, match="repeats"):
        load_checkpoint(path)
