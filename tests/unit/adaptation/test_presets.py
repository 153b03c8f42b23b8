"""Options come from the user, the preset, the model and the paper, in this order, and keep their ranges."""

import pytest

from ugosa_server.adaptation.presets import AdaptationOptions, resolve_options, validate_options
from ugosa_server.errors import BadOptionError
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig

MODEL = {"learning_rate": 1e-4, "epochs": 6}


def test_nothing_chosen_is_the_paper():
    assert resolve_options() == AdaptationOptions() == resolve_options("paper", MODEL)
    assert (AdaptationOptions().epochs, AdaptationOptions().learning_rate) == (10, 1e-5)


def test_the_models_own_defaults_hold_unless_the_user_or_the_preset_says_otherwise():
    assert resolve_options(None, MODEL) == AdaptationOptions(learning_rate=1e-4, epochs=6)
    assert resolve_options("fast", MODEL) == AdaptationOptions(learning_rate=1e-4, epochs=3)
    assert resolve_options("fast", MODEL, {"epochs": 1}) == AdaptationOptions(learning_rate=1e-4, epochs=1)


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
    )
    assert resolve_options("authors-code", n_sources=5).silence_weight == 0.2
    assert resolve_options("authors-code", None, {"silence_weight": 1.0}).silence_weight == 1.0
    validate_options(options, ConvTasNetConfig())


def test_unknown_presets_and_options_are_named():
    with pytest.raises(BadOptionError, match="no preset 'papr'; did you mean 'paper'"):
        resolve_options("papr")
    with pytest.raises(BadOptionError, match="no adaptation option 'lr'"):
        resolve_options(None, {"lr": 1})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"silence_weight": -1.0}, "silence_weight .* is -1, but must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0, but must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"epochs": 1001}, "epochs is 1001, .* at most 1000"),
        ({"segment_s": 61.0}, "segment_s is 61, .* at most 60"),
        ({"hop_s": 5.0}, "hop_s is 5, .* at most 4"),
        ({"pitch_shifts": 11}, "pitch_shifts is 11, .* at most 10"),
        ({"batch_size": 0}, "batch_size is 0, .* at least 1"),
        ({"strategy": "P-L9:D"}, "no strategy 'P-L9:D'"),
    ],
)
def test_an_option_out_of_range_is_refused_with_both_values(wrong, words):
    with pytest.raises(BadOptionError, match=words):
        validate_options(AdaptationOptions(**wrong), ConvTasNetConfig())


def test_the_ends_of_the_papers_sweeps_are_in_range():
    for weight in (1e-4, 1e4):
        validate_options(AdaptationOptions(silence_weight=weight), ConvTasNetConfig())
