"""Methods: a grid of strategies and options, without what makes no difference."""

from dataclasses import replace

import pytest

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_research.evaluation.methods import Method, grid
from ugosa_server.errors import BadOptionError
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.registry import read_model_info


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_network().state_dict(), TINY)
    return replace(read_model_info(path), adaptation_defaults={"learning_rate": 0.01, "epochs": 2})


def test_b0_has_no_options_and_b_methods_no_lambda():
    methods = grid(
        ["B0", "P-L3:D", "B-L3:D"], {"silence_weight": [0.1, 10.0], "segment_s": [4.0], "epochs": []}
    )
    assert [method.name for method in methods] == [
        "B0",
        "P-L3:D lambda=0.1 segment=4",
        "P-L3:D lambda=10 segment=4",
        "B-L3:D segment=4",
    ]


def test_names_of_files_are_plain_and_different():
    methods = grid(["B0", "P-L3:D", "P-L3:M"], {"silence_weight": [1e-4, 1e4]})
    stems = [method.file_stem for method in methods]
    assert len(set(stems)) == len(methods)
    assert stems[1] == "P-L3D_lambda=0.0001"


def test_options_come_from_method_then_preset_then_model(model):
    method = Method("P-L3:D", (("epochs", 5),))
    options = method.options(model, preset=None)
    assert (options.strategy, options.epochs, options.learning_rate) == ("P-L3:D", 5, 0.01)
    assert method.options(model, "paper").learning_rate == 1e-5


def test_wrong_strategies_and_options_are_refused(model):
    with pytest.raises(BadOptionError, match="did you mean"):
        grid(["P-L3:X"], {})
    with pytest.raises(BadOptionError, match="learning_rate is -1"):
        Method("P-L3:D", (("learning_rate", -1.0),)).options(model, None)
