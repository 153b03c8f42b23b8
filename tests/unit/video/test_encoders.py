"""torchvision's ResNet-50 with weights of a user: random ones here, since trained ones are not at hand."""

import importlib.util

import numpy as np
import pytest
import torch

from tests.helpers.players import BLUE, RED, drawn
from ugosa_server.errors import BadOptionError, CheckpointError
from ugosa_server.video.features import IMAGENET_MEAN, IMAGENET_STD, open_encoder, torchvision_resnet50

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed (extra 'video')"
)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision_resnet50()(weights=None).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(network.state_dict(), path)
    return path


def test_it_gives_what_comes_before_the_classifier(network, weights):
    encoder = open_encoder(f"resnet50:{weights}")
    picture = drawn(RED, BLUE, encoder.height, encoder.width)
    features = encoder.encode(picture)
    assert (features.shape, features.dtype) == ((2048,), np.float32)
    x = torch.from_numpy((picture / 255 - IMAGENET_MEAN) / IMAGENET_STD).float().permute(2, 0, 1)[None]
    with torch.inference_mode():
        for name, layer in network.named_children():
            if name != "fc":
                x = layer(x)
    np.testing.assert_allclose(features, x[0, :, 0, 0].numpy(), rtol=1e-4, atol=1e-5)
    assert (features >= 0).all()
    assert features.std() > 0
    assert np.abs(features - encoder.encode(drawn(BLUE, RED))).max() > 1e-3


def test_other_weights_are_refused_and_no_pickle_is_run(network, tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(BadOptionError, match="holds no weights of torchvision's ResNet-50"):
        open_encoder(f"resnet50:{tmp_path / 'other.pth'}")
    torch.save(network, tmp_path / "class.pth")
    with pytest.raises(CheckpointError, match="refused and nothing in it was run"):
        open_encoder(f"resnet50:{tmp_path / 'class.pth'}")
