"""An adapter brings an adaptation back on its own base, and on no other."""

import pytest
import torch

from tests.helpers.tiny_network import first_half_silent, noise_song, tiny_network
from ugosa_server.adaptation.adapter_file import apply_adapter, load_adapter, save_adapter
from ugosa_server.adaptation.adapter_keys import MAX_ADAPTER_BYTES, AdapterKeys, marks_sha256
from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.errors import CheckpointError
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.checkpoints import weights_digest

KEYS = AdapterKeys(
    base_sha256="ab" * 32,
    audio_sha256="cd" * 32,
    marks_sha256="ef" * 32,
    strategy="P-L4:D",
    silence={"vocals": ((0, 1000), (1500, 2000))},
)


def test_a_loaded_adapter_gives_the_adapted_network_again(tmp_path):
    path, song, strategy = tmp_path / "a.safetensors", noise_song(2000), parse_strategy("P-L4:D")
    network = tiny_network()
    with adaptation_of(network, strategy) as parameters:
        options = AdaptationOptions("P-L4:D", learning_rate=1e-2, epochs=2)
        for _ in adapt(network, parameters, song, first_half_silent(0, 2000), options, seed=0):
            pass
        save_adapter(path, parameters, KEYS)
        adapted = weights_digest(network.state_dict())
    keys, tensors = load_adapter(path, KEYS.base_sha256)
    with adaptation_of(network, strategy) as parameters:
        assert weights_digest(network.state_dict()) != adapted
        apply_adapter(parameters, tensors)
        assert weights_digest(network.state_dict()) == adapted
    assert keys == KEYS
    assert set(tensors) == set(network.trained_parameters(strategy.depth))


def test_the_same_adapter_is_the_same_bytes(tmp_path):
    tensors = {f"x{i}": torch.full((3,), float(i)) for i in range(9)}
    for name in "ab":
        save_adapter(tmp_path / name, tensors, KEYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_base_is_refused(tmp_path):
    save_adapter(tmp_path / "a", {"x": torch.ones(2)}, KEYS)
    with pytest.raises(CheckpointError, match=r"learned on the checkpoint abab.* this one is 0000"):
        load_adapter(tmp_path / "a", "00" * 32)


def test_tensors_of_another_strategy_are_refused():
    with (
        adaptation_of(tiny_network(), parse_strategy("P-L5:D")) as parameters,
        pytest.raises(CheckpointError, match=r"\(1\) are not those of this strategy \(1\)"),
    ):
        apply_adapter(parameters, {"x": torch.ones(2)})


def test_numbers_that_are_not_finite_are_refused():
    with adaptation_of(tiny_network(), parse_strategy("P-L5:D")) as parameters:
        broken = {name: torch.full_like(p, float("nan")) for name, p in parameters.items()}
        with pytest.raises(CheckpointError, match="not finite"):
            apply_adapter(parameters, broken)
        assert all(torch.isfinite(p).all() for p in parameters.values())


@pytest.mark.parametrize("content", [None, b"garbage" * 9])
def test_unreadable_files_are_refused_by_name(tmp_path, content):
    if content:
        (tmp_path / "broken").write_bytes(content)
    with pytest.raises(CheckpointError, match="broken"):
        load_adapter(tmp_path / "broken", KEYS.base_sha256)


def test_a_file_beyond_any_adapter_is_not_read(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.truncate(MAX_ADAPTER_BYTES + 1)  # takes no room
    with pytest.raises(CheckpointError, match="has more than 1024 MiB"):
        load_adapter(path, KEYS.base_sha256)


def test_the_order_of_marks_does_not_count():
    first = Mark("bass", MarkState.SILENT, 0, 10)
    second = Mark("bass", MarkState.ACTIVE, 10, 20)
    assert marks_sha256([first, second]) == marks_sha256([second, first]) != marks_sha256([first])
