"""The registry says what models there are, without torch."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation import ALL_STRATEGIES
from ugosa_server.errors import CheckpointError, UnknownModelError
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.registry import ModelRegistry


@pytest.fixture
def folder(tmp_path):
    words = {
        "description": "for tests",
        "adaptation": json.dumps({"learning_rate": 1e-3}),
        "separation": json.dumps({"wiener_exponent": 1.0}),
    }
    save_checkpoint(tmp_path / "tiny.safetensors", tiny_network().state_dict(), TINY, words)
    return tmp_path


def test_model_is_described_by_its_header(folder):
    (model,) = ModelRegistry(shipped_dirs=[folder]).models()
    assert (model.name, model.architecture, model.description) == ("tiny", "conv_tasnet", "for tests")
    assert (model.sources, model.sample_rate_hz, model.audio_channels) == (TINY.sources, 8000, 2)
    assert model.parameters == sum(p.numel() for p in tiny_network().parameters())
    assert model.adaptation_defaults == {"learning_rate": 1e-3}
    assert model.separation_defaults == {"wiener_exponent": 1.0}
    names = {strategy.name: strategy.trainable_parameters for strategy in model.strategies}
    assert next(iter(names)) == "P-L1:D"
    assert set(names) == {str(strategy) for strategy in ALL_STRATEGIES}
    assert names["P-L5:D"] == names["B-L5:D"] == 32 * 16
    assert names["B0"] == 0


def test_unknown_name_is_answered_with_the_nearest(folder):
    with pytest.raises(UnknownModelError, match="no model 'tinny'; did you mean 'tiny'"):
        ModelRegistry(shipped_dirs=[folder]).get("tinny")


def test_published_model_without_weights_names_its_command(folder):
    with pytest.raises(UnknownModelError, match=r"'htdemucs' are not here; .* models pull htdemucs"):
        ModelRegistry(shipped_dirs=[folder]).get("htdemucs")


def test_a_later_folder_takes_precedence(folder, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    save_checkpoint(own / "tiny.safetensors", tiny_network(seed=1).state_dict(), TINY)
    assert ModelRegistry([own], shipped_dirs=[folder]).get("tiny").path.parent == own


def test_missing_folders_and_broken_files_are_named(folder, tmp_path):
    with pytest.raises(CheckpointError, match="absent does not exist"):
        ModelRegistry([tmp_path / "absent"], shipped_dirs=[folder])
    (folder / "broken.safetensors").write_bytes(b"no")
    registry = ModelRegistry(shipped_dirs=[folder])
    assert [model.name for model in registry.models()] == ["tiny"], "one bad file costs that model"
    with pytest.raises(UnknownModelError, match=r"'broken' cannot be read: .*broken\.safetensors"):
        registry.get("broken")


@pytest.mark.parametrize(
    "sizes",
    [
        {"repeats": 10**9},
        {"repeats": 10**5, "blocks_per_repeat": 10**5},
        {"encoder_filters": 10**30},
        {"sources": [str(number) for number in range(10**5)]},
        [[]],
        "[" * 1_000_000,
    ],
)
def test_sizes_beyond_measure_cost_that_model_alone(folder, sizes):
    config = sizes if isinstance(sizes, str) else json.dumps(sizes)
    words = {"format": "ugosa-convtasnet-1", "config": config}
    save_file({"x": np.zeros(1, np.float32)}, folder / "huge.safetensors", words)
    registry = ModelRegistry(shipped_dirs=[folder])
    assert [model.name for model in registry.models()] == ["tiny"]
    with pytest.raises(UnknownModelError, match="cannot be read"):
        registry.get("huge")


@pytest.mark.parametrize(
    "changes",
    [
        {"segment": "1/0"},
        {"segment": "1e999999999"},
        {"segment": "-1"},
        {"arguments": {"depth": 1_000_000, "growth": 1}},
        {"shapes": {}},
        {"shapes": {"encoder.0.conv.weight": [1]}},
        {"shapes": {f"decoder.{'9' * 5000}.conv_tr.weight": [1]}},
    ],
)
def test_an_odd_member_of_a_bag_costs_that_model_alone(folder, changes):
    shapes = {"decoder.0.conv_tr.weight": [1]}
    member = {"kind": "HTDemucs", "arguments": {}, "segment": "39/5", "weights": [1.0], "shapes": shapes}
    sizes = {"sources": ["a"], "audio_channels": 2, "sample_rate_hz": 44100}
    for name, odd in (("bag", {}), ("odd", changes)):
        config = json.dumps(sizes | {"members": [member | odd]})
        words = {"format": "ugosa-demucs-1", "config": config}
        save_file({"x": np.zeros(1, np.float32)}, folder / f"{name}.safetensors", words)
    registry = ModelRegistry(shipped_dirs=[folder])
    assert [model.name for model in registry.models()] == ["bag", "tiny"]
    with pytest.raises(UnknownModelError, match="cannot be read"):
        registry.get("odd")


def test_a_network_of_endless_sources_costs_that_model_alone(folder):
    config = json.dumps({"sources": [f"s{i}" for i in range(101)]})
    words = {"format": "ugosa-spleeter-1", "config": config}
    save_file({"x": np.zeros(1, np.float32)}, folder / "choir.safetensors", words)
    registry = ModelRegistry(shipped_dirs=[folder])
    assert [model.name for model in registry.models()] == ["tiny"]
    with pytest.raises(UnknownModelError, match="101 sources; at most 100 are taken"):
        registry.get("choir")


@pytest.mark.parametrize("name", [b"two\nlines", b"\xff latin-1", b"\x1b[31mred"])
def test_a_name_that_cannot_be_shown_is_left_out(folder, name):
    shutil.copy(folder / "tiny.safetensors", os.fsencode(folder) + b"/" + name + b".safetensors")
    assert [model.name for model in ModelRegistry(shipped_dirs=[folder]).models()] == ["tiny"]


def test_what_is_no_file_is_left_out_unopened(folder):
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "folder.safetensors").mkdir()
    registry = ModelRegistry(shipped_dirs=[folder])
    assert [model.name for model in registry.models()] == ["tiny"]
    for name in ("pipe", "folder"):
        with pytest.raises(UnknownModelError, match=rf"{name}\.safetensors is a folder, a pipe or a device"):
            registry.get(name)


def test_a_file_of_endless_tensors_costs_that_model_alone(folder):
    content = (folder / "tiny.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    none = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    crowd = json.dumps({f"x.{i}": none for i in range(10_001)} | {"__metadata__": header["__metadata__"]})
    (folder / "crowd.safetensors").write_bytes(len(crowd).to_bytes(8, "little") + crowd.encode())
    registry = ModelRegistry(shipped_dirs=[folder])
    assert [model.name for model in registry.models()] == ["tiny"]
    with pytest.raises(UnknownModelError, match="holds 10001 tensors; at most 10000 are taken"):
        registry.get("crowd")


def test_a_description_is_one_line_of_bounded_length(folder):
    words = {"description": "red\x1b[31m\ntwo " + "x" * 5_000_000}
    save_checkpoint(folder / "long.safetensors", tiny_network().state_dict(), TINY, words)
    description = ModelRegistry(shipped_dirs=[folder]).get("long").description
    assert description.startswith("red [31m two xxx")
    assert len(description) <= 1000


def test_options_nested_without_end_cost_that_model_alone(folder):
    words = {"adaptation": "[" * 1_000_000}
    save_checkpoint(folder / "deep.safetensors", tiny_network().state_dict(), TINY, words)
    assert [model.name for model in ModelRegistry(shipped_dirs=[folder]).models()] == ["tiny"]


def test_listing_models_and_validating_options_needs_no_torch():
    code = (
        "import sys, ugosa_server.models, ugosa_server.adaptation.presets, "
        "ugosa_server.separation; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_default_model_is_band_where_its_weights_are(tmp_path):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    shipped.mkdir()
    own.mkdir()
    save_checkpoint(shipped / "starter.safetensors", tiny_network().state_dict(), TINY)
    assert ModelRegistry(shipped_dirs=[shipped]).default("auto").name == "starter"
    save_checkpoint(own / "band.safetensors", tiny_network().state_dict(), TINY)
    registry = ModelRegistry([own], shipped_dirs=[shipped])
    assert registry.default("auto").name == "band"
    assert registry.default("starter").name == "starter"
