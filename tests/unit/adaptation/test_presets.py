"""Options come from the user, the preset, the model and the paper, in this order."""

import pytest

from ugosa_server.adaptation.presets import AdaptationOptions, resolve_options
from ugosa_server.errors import BadOptionError

MODEL = {"learning_rate": 1e-4, "epochs": 6}


def test_nothing_chosen_is_the_paper():
    assert resolve_options() == AdaptationOptions()
    assert resolve_options("paper", MODEL) == AdaptationOptions(guard=False)  # which the paper has not
    assert (AdaptationOptions().epochs, AdaptationOptions().learning_rate) == (10, 1e-5)


def test_model_defaults_give_way_to_preset_and_user():
    assert resolve_options(None, MODEL) == AdaptationOptions(learning_rate=1e-4, epochs=6)
    assert resolve_options("low-rate", MODEL) == AdaptationOptions("P-L2:D", learning_rate=1e-6, epochs=6)
    chosen = resolve_options("low-rate", MODEL, {"epochs": 1})
    assert chosen == AdaptationOptions("P-L2:D", learning_rate=1e-6, epochs=1)
    with pytest.raises(BadOptionError, match="--for 60s"):
        resolve_options("fast", MODEL)


def test_the_authors_code_weighs_a_mean_over_sources():
    options = resolve_options("authors-code", MODEL, n_sources=4)
    assert options == AdaptationOptions(
        "P-L3:M",
        silence_weight=0.25,
        segment_s=10.0,
        hop_s=1.0,
        pitch_shifts=3,
        learning_rate=1e-5,
        epochs=10,
        guard=False,
    )
    assert resolve_options("authors-code", n_sources=5).silence_weight == 0.2
    assert resolve_options("authors-code", None, {"silence_weight": 1.0}).silence_weight == 1.0


def test_unknown_presets_and_options_are_named():
    with pytest.raises(BadOptionError, match="no preset 'papr'; did you mean 'paper'"):
        resolve_options("papr")
    with pytest.raises(BadOptionError, match="no adaptation option 'lr'"):
        resolve_options(None, {"lr": 1})
