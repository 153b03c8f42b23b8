"""The table of options agrees with the wire, the client and the paper, and its ranges hold."""

import dataclasses

import pytest

from ugosa_client import JobOptions as ClientOptions
from ugosa_client.option_table import option_table
from ugosa_server.adaptation.presets import AdaptationOptions, resolve_options
from ugosa_server.errors import BadOptionError
from ugosa_server.jobs.option_table import OPTIONS, options_of, values_in_report
from ugosa_server.jobs.options import check_adaptation, check_separation
from ugosa_server.jobs.runs import JobOptions
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.rpc.convert import options_from_wire, options_to_wire
from ugosa_server.separation.options import SeparationOptions
from ugosa_server.wire.ugosa.v1 import job_pb2


def fields(owner):
    return {field.name for field in dataclasses.fields(owner)}


def test_rows_are_the_fields_of_the_proto():
    assert {option.name for option in OPTIONS} == set(job_pb2.JobOptions.DESCRIPTOR.fields_by_name)


def test_rows_are_the_fields_of_the_client():
    names = {row.field for row in option_table()}
    messages = {option.name for option in OPTIONS if option.kind == "message"}
    assert names | messages == fields(ClientOptions)


@pytest.mark.parametrize("owner", [AdaptationOptions, SeparationOptions])
def test_rows_are_the_fields_of_their_owner(owner):
    assert [option.owner_field for option in options_of(owner)] == [
        field.name for field in dataclasses.fields(owner)
    ]
    assert set(values_in_report(owner())) == {option.symbol or option.name for option in options_of(owner)}


def test_defaults_are_within_the_ranges():
    check_adaptation(AdaptationOptions(), ConvTasNetConfig())
    check_adaptation(resolve_options("authors-code"), ConvTasNetConfig())
    check_separation(SeparationOptions())


def test_ends_of_the_papers_sweeps_are_within_the_ranges():
    for weight in (1e-4, 1e4):
        check_adaptation(AdaptationOptions(silence_weight=weight), ConvTasNetConfig())


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.choices], ids=lambda o: o.name)
def test_every_choice_has_its_number_on_the_wire(option):
    numbers = set()
    for word in option.choices:
        separation = SeparationOptions(mask_kind=word) if option.name == "mask_kind" else SeparationOptions()
        words = {option.name: word} if option.owner is JobOptions else {}
        message = options_to_wire(JobOptions("tiny", separation=separation, **words))
        numbers.add(getattr(message, option.name))
        request = options_from_wire(message)
        assert word in (*request.others.values(), request.separation["mask_kind"])
    assert numbers == set(range(1, len(option.choices) + 1))
    with pytest.raises(BadOptionError, match=f"{option.name} .* must be {option.range_text}"):
        options_from_wire(job_pb2.JobOptions(**{option.name: 99}))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"silence_weight": -1.0},
            r"silence_weight \(lambda\) is -1, but must be at least 0 and .* 1e6",
        ),
        ({"learning_rate": 0.0}, "learning_rate is 0, but must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"epochs": 1001}, "epochs is 1001, .* at most 1000"),
        ({"segment_s": 61.0}, "segment_seconds is 61, .* at most 60"),
        ({"hop_s": 5.0}, "hop_seconds is 5, .* at most 4"),
        ({"pitch_shifts": 11}, "pitch_shifts is 11, .* at most 10"),
        ({"batch_size": 0}, "batch_size is 0, .* at least 1"),
        ({"strategy": "P-L9:D"}, "no strategy 'P-L9:D'"),
        ({"strategy": 3}, "strategy is 3, but its kind of value is: word"),
        ({"epochs": 1.5}, "epochs is 1.5, but its kind of value is: integer"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', but its kind of value is: number"),
        ({"learning_rate": None}, "learning_rate is None, but its kind of value is: number"),
        ({"learning_rate": {"a": 1}}, "learning_rate is {'a': 1}, but its kind of value is: number"),
        ({"guard": 1}, "guard is 1, but its kind of value is: switch"),
    ],
)
def test_adaptation_out_of_range_is_refused_with_both_values(wrong, words):
    with pytest.raises(BadOptionError, match=words):
        check_adaptation(AdaptationOptions(**wrong), ConvTasNetConfig())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"segment_s": 0.0}, "separation_segment_seconds is 0, .* at least 0.05"),
        ({"overlap": 1.0}, "separation_overlap is 1, .* at most 0.95"),
        ({"overlap": float("nan")}, "separation_overlap is nan"),
        ({"shifts": 21}, "separation_shifts is 21, .* at most 20"),
        ({"mask_kind": "half"}, "mask_kind is 'half', but must be soft, hard, shared"),
    ],
)
def test_separation_out_of_range_is_refused_with_both_values(wrong, words):
    with pytest.raises(BadOptionError, match=words):
        check_separation(SeparationOptions(**wrong))
