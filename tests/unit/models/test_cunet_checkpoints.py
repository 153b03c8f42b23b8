"""Checkpoints with the authors' names become ours, and compute what theirs would."""

import re

import pytest
import torch

from tests.helpers.tiny_cunet import bins_of, tiny_cunet
from ugosa_server.errors import BadOptionError, CheckpointError
from ugosa_server.models.collection import convert, verify
from ugosa_server.models.cunet.checkpoints import read_cunet_checkpoint
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.network import build_network
from ugosa_server.models.registry import read_model_info


def authors_state(config, *, older=False):
    """A state dict of ours under the authors' names, with the layers that their forward never uses."""
    state = {"output.0.weight": torch.ones(1, 1, 1, 1), "classifier.0.weight": torch.ones(512, 2048)}
    for name, tensor in tiny_cunet(config).state_dict().items():
        if older:
            name = re.sub(r"encoder\.([0-4])\.conv", r"encoder.\1.0", name)
            name = re.sub(r"encoder\.([0-4])\.norm", r"encoder.\1.1", name)
        name = re.sub(r"encoder\.([0-4])\.norm", r"encoder.\1.bn", name)
        name = name.replace("encoder.5.conv.", "encoder.5.")
        name = re.sub(r"decoders\.(\d+)\.(\d)\.conv", r"decoder.\2.\1.0", name)
        name = re.sub(r"decoders\.(\d+)\.(\d)\.norm", r"decoder.\2.\1.1", name)
        if config.conditioning == "film-encoder":
            name = re.sub(r"^film\.(\d)", r"encoder.\1.conditioning.fc.linear", name)
        state[name.replace("film.0.", "film.fc.linear.")] = tensor
    return state


def sized(**choices):
    return ConditionedUNetConfig(mask="binary", rectified_logits=True, **choices)


@pytest.mark.parametrize(
    ("config", "older", "choices"),
    [
        (sized(conditioning="none"), True, {}),
        (sized(conditioning="film-bottleneck", bias=True), False, {}),
        (sized(conditioning="film-final"), False, {}),
        (sized(conditioning="film-encoder"), False, {}),
        (sized(conditioning="label-multiply"), False, {"conditioning": "label-multiply"}),
        (sized(conditioning="none", frequency_scale="linear"), False, {"frequency_scale": "linear"}),
    ],
)
def test_the_authors_checkpoints_are_read(tmp_path, config, older, choices):
    torch.save(authors_state(config, older=older), tmp_path / "CP0100.pth")
    found, state = read_cunet_checkpoint(tmp_path / "CP0100.pth", choices=choices)
    assert found == config
    network = build_network(found)
    network.load_state_dict(state)
    values, labels = torch.rand(1, 1, bins_of(config), 64), torch.ones(1, 13)
    expected = tiny_cunet(config).mask_logits(values, labels)
    torch.testing.assert_close(network.eval().mask_logits(values, labels), expected)
    assert expected.min() >= 0


def test_multi_head_network_is_recognised_by_its_decoders(tmp_path):
    config = sized(conditioning="none", decoder="mhu-net")
    torch.save(authors_state(config), tmp_path / "CP0100.pth")
    assert read_cunet_checkpoint(tmp_path / "CP0100.pth")[0] == config


def test_models_convert_takes_them(tmp_path):
    torch.save(authors_state(sized(conditioning="film-bottleneck")), tmp_path / "CP0100.pth")
    path = tmp_path / "cunet-authors.safetensors"
    convert(tmp_path / "CP0100.pth", path, choices={"mask": "ratio"})
    info = read_model_info(path)
    assert "5,169,055 parameters" in verify(info)
    assert info.architecture == "conditioned_unet"
    assert info.config.mask == "ratio"
    assert info.adaptation_defaults["strategy"] == "B0"


@pytest.mark.parametrize(
    ("change", "choices", "error", "message"),
    [
        ({"decoder.5.0.0.weight": None}, {}, CheckpointError, "decoders.0.5.conv.weight"),
        ({"surprise.weight": torch.ones(1)}, {}, CheckpointError, "surprise.weight"),
        (
            {"encoder.5.weight": torch.full((512, 256, 4, 4), float("nan"))},
            {},
            CheckpointError,
            "NaN or infinite",
        ),
        ({"film.fc.linear.weight": torch.ones(1024, 1024)}, {}, CheckpointError, "1024 visual features"),
        ({"film.fc.linear.weight": torch.ones(3)}, {}, CheckpointError, "0 visual features"),
        ({"decoder.5.0.1.weight": torch.tensor(1.0)}, {}, CheckpointError, "has 1 classes"),
        ({"decoder.0.0.1.weight": "no tensor"}, {}, CheckpointError, "no Conditioned U-Net"),
        ({}, {"bias": "yes"}, BadOptionError, "not bias"),
        ({}, {"conditioning": "film-final"}, CheckpointError, "film.0"),
        ({"decoder.0.0.0.weight": None}, {}, CheckpointError, "no Conditioned U-Net"),
    ],
)
def test_misfit_checkpoint_is_refused(tmp_path, change, choices, error, message):
    state = authors_state(sized(conditioning="none")) | change
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "CP.pth")
    with pytest.raises(error, match=message):
        read_cunet_checkpoint(tmp_path / "CP.pth", choices=choices)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_that_calls_something_is_refused(tmp_path, capsys):
    state = authors_state(sized(conditioning="none")) | {"evil": Evil()}
    torch.save(state, tmp_path / "CP.pth")
    with pytest.raises(CheckpointError, match="refused"):
        read_cunet_checkpoint(tmp_path / "CP.pth")
    assert "executed" not in capsys.readouterr().out
