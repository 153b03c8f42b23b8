"""The verdict of an adaptation gets from the worker to the caller with every word and number."""

import dataclasses

import msgspec
import pytest

from ugosa_client import VerdictOutcome
from ugosa_client.convert import to_verdict
from ugosa_client.wire.ugosa.v1 import job_pb2 as client_pb2
from ugosa_server.adaptation import Outcome, SourceVerdict, Verdict
from ugosa_server.engines.base import decode_line, encode_line
from ugosa_server.jobs.runs import RunSucceeded
from ugosa_server.rpc.convert import verdict_to_wire

ROWS = (SourceVerdict("drums", 4.5, -31.25, -33.5), SourceVerdict("vocals", 2.0, -28.0, -32.125))


def verdict(outcome):
    return Verdict(outcome, 6 if outcome is Outcome.HELPED else 0, 6.5, ROWS)


@pytest.mark.parametrize("outcome", Outcome)
def test_verdict_survives_the_wire(outcome):
    sent = verdict(outcome)
    received = to_verdict(client_pb2.Verdict.FromString(verdict_to_wire(sent).SerializeToString()))
    assert received.outcome is VerdictOutcome(outcome.value)
    assert received.message == sent.sentence
    assert (received.kept_epoch, received.held_back_s) == (sent.kept_epoch, 6.5)
    assert [dataclasses.astuple(row) for row in received.sources] == [
        dataclasses.astuple(row) for row in ROWS
    ]


def test_verdict_survives_the_pipe_and_the_store():
    sent = RunSucceeded((), "report.json", "report.html", "levels.json", verdict(Outcome.HELPED))
    assert decode_line(encode_line(sent))[0] == sent
    result = RunSucceeded((), "report.json", "report.html", "levels.json", verdict(Outcome.DID_NOT))
    assert msgspec.json.decode(msgspec.json.encode(result), type=RunSucceeded) == result
    before = msgspec.json.encode({"stems": [], "report_json": "a", "report_html": "b"})
    assert (
        msgspec.json.decode(before, type=RunSucceeded).verdict is None
    )  # of a job that ended before there was one


def test_sentences_name_every_source_and_its_change():
    assert verdict(Outcome.HELPED).sentence == (
        "kept epoch 6: leakage of drums -2.2 dB, vocals -4.1 dB on silence it had not seen"
    )
