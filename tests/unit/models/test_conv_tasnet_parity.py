"""Our ConvTasNet is demucs 2.0.3's, and our fine-tuning the authors', number by number."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.files import sha256_of_file
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.marks.activity import activity as activity_of
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.legacy import read_legacy_checkpoint

DATA = Path(__file__).parents[2] / "data"
GOLDEN = DATA / "golden"
LAYOUTS = sorted(GOLDEN.glob("*.th"))
RELATIVE_TOLERANCE = 1e-5  # of the largest value; float32 has 6e-8


def network_of(path):
    config, state = read_legacy_checkpoint(path, sha256_of_file(path), ["drums", "bass", "other", "vocals"])
    network = ConvTasNet(config)
    network.load_state_dict(state)
    return network


def assert_same(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= RELATIVE_TOLERANCE * theirs.abs().max()


@pytest.mark.parametrize("training", [True, False], ids=["readable path", "fast path"])
@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.stem.partition("-")[0])
def test_every_layout_gives_the_stems_and_gradients_of_demucs(path, training):
    golden = load_file(GOLDEN / "network.safetensors")
    network = network_of(path).train(training)
    stems = network(golden["mix"])
    assert_same(stems, golden["stems"])
    (stems * golden["probe"]).sum().backward()
    parameters = dict(network.named_parameters())
    slopes = [name for name, parameter in parameters.items() if parameter.numel() == 1]
    for name in parameters.keys() - set(slopes):
        assert_same(parameters[name].grad, golden[f"gradient.{name}"])
    # A PReLU's slope is one number whose gradient sums terms that cancel: its scale is that of all slopes.
    assert len(slopes) == 2 * 2 * 4
    assert_same(
        torch.stack([parameters[name].grad for name in slopes]),
        torch.stack([golden[f"gradient.{name}"] for name in slopes]),
    )


def test_there_is_a_golden_of_each_of_the_three_layouts():
    assert [path.stem.partition("-")[0] for path in LAYOUTS] == ["plain", "v1_tuple", "v2_training"]


def test_the_first_losses_are_those_of_the_authors_loop():
    golden, song = json.loads((GOLDEN / "losses.json").read_text()), load_file(GOLDEN / "song.safetensors")
    network = network_of(GOLDEN / "v2_training.th").eval().requires_grad_(False)
    sources, activity = network.config.sources, song["activity"].numpy()
    silences = [Mark(sources[1], MarkState.SILENT, 0, 1666), Mark(sources[3], MarkState.SILENT, 2500, 5000)]
    marks = MarkSet(tuple(silences))
    np.testing.assert_array_equal(activity_of(marks, sources, 0, 5000), activity)
    options = AdaptationOptions(
        strategy="P-L3:D",
        silence_weight=golden["gamma"] / len(activity),  # theirs is a mean over sources
        learning_rate=golden["learning_rate"],
        epochs=golden["epochs"],
        segment_s=golden["segment_frames"] / network.config.sample_rate_hz,
    )
    with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
        steps = list(
            adapt(
                network,
                parameters,
                song["song"].T.numpy(),
                marks,
                options,
                golden["seed"],
            )
        )
    losses = []
    for epoch in range(1, golden["epochs"] + 1):
        means = np.array([step.loss.total for step in steps if step.epoch == epoch])  # since the epoch began
        losses += np.diff(means * np.arange(1, len(means) + 1), prepend=0).tolist()
    assert len(losses) == 20
    assert losses == pytest.approx(golden["losses"], rel=1e-5)
    assert max(losses[-5:]) < min(losses[:5])  # the weights moved


def test_l3_trains_the_parameters_that_the_authors_unfreeze():
    with torch.device("meta"):
        network = ConvTasNet(ConvTasNetConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == 10_977_872
    for module in list(network.separator.modules())[:338]:  # "freeze the first 338 modules of the separator"
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    network.encoder.requires_grad_(False)
    unfrozen = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert unfrozen == set(network.trained_parameters(parse_strategy("P-L3:D").depth))


@pytest.mark.slow
def test_the_generator_writes_these_goldens_again(tmp_path):
    subprocess.run([sys.executable, DATA / "make_golden.py", tmp_path], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in GOLDEN.iterdir()}
    for name in ("network.safetensors", "song.safetensors"):
        again, golden = load_file(tmp_path / name), load_file(GOLDEN / name)
        assert set(again) == set(golden)
        for key, tensor in golden.items():
            assert_same(again[key], tensor)
    again, golden = (json.loads((folder / "losses.json").read_text()) for folder in (tmp_path, GOLDEN))
    assert again["losses"] == pytest.approx(golden["losses"], rel=1e-5)
