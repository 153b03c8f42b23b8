"""A checkpoint is loaded once, onto a device that is there."""

import pytest
import torch

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.config import WorkerSettings
from ugosa_server.errors import CheckpointError, ConfigError
from ugosa_server.models.checkpoints import save_checkpoint, weights_digest
from ugosa_server.pipeline.resident import ResidentNetworks


def test_a_checkpoint_is_loaded_once_and_ready_to_infer(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_network().state_dict(), TINY)
    networks = ResidentNetworks(WorkerSettings("cpu"))
    resident = networks.load(path)
    assert networks.load(str(path)) is resident
    assert weights_digest(resident.network.state_dict()) == weights_digest(tiny_network().state_dict())
    assert not resident.network.training
    assert not any(parameter.requires_grad for parameter in resident.network.parameters())
    assert resident.info.name == "tiny"


def test_weights_that_do_not_fit_their_sizes_are_refused(tmp_path):
    path = tmp_path / "wrong.safetensors"
    state = {n: t for n, t in tiny_network().state_dict().items() if not n.startswith("decoder")}
    save_checkpoint(path, state, TINY)
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors does not hold .*decoder"):
        ResidentNetworks(WorkerSettings("cpu")).load(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_refused_by_name(device):
    with pytest.raises(ConfigError, match=device):
        ResidentNetworks(WorkerSettings(device))


def test_auto_finds_a_device_and_computes_deterministically():
    networks = ResidentNetworks(WorkerSettings())
    assert networks.device.type in ("cpu", "cuda")
    assert str(networks.device) in networks.device_name
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("text", ["resnet50:/nowhere.pth", "onnx:/nowhere.onnx", "gif:x", "onnx:"])
def test_an_encoder_that_cannot_be_used_names_its_setting(text):
    with pytest.raises(ConfigError, match=r"^video_encoder: "):
        ResidentNetworks(WorkerSettings("cpu", video_encoder=text))
