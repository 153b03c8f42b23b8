"""The verdict of an adaptation gets from the worker to the caller with every word and number."""

import dataclasses

import msgspec
import pytest

from ugosa_client import Verdict as ReceivedVerdict
from ugosa_client import VerdictOutcome
from ugosa_client.convert import to_resource
from ugosa_client.wire.ugosa.v1 import job_pb2 as client_pb2
from ugosa_server.adaptation import Outcome, SourceVerdict, Verdict
from ugosa_server.engines.base import decode_line, encode_line
from ugosa_server.jobs.runs import RunSucceeded
from ugosa_server.rpc.convert import verdict_to_wire

ROWS = (SourceVerdict("drums", 4.5, -31.25, -33.5), SourceVerdict("vocals", 2.0, -28.0, -32.125))


def verdict(outcome):
    return Verdict(outcome, 6 if outcome is Outcome.HELPED else 0, 6.5, ROWS, 0.625)


@pytest.mark.parametrize("outcome", Outcome)
def test_verdict_survives_the_wire(outcome):
    sent = verdict(outcome)
    message = client_pb2.Verdict.FromString(verdict_to_wire(sent).SerializeToString())
    received = to_resource(ReceivedVerdict, message)
    assert received.outcome is VerdictOutcome(outcome.value)
    assert received.message == sent.sentence
    assert (received.kept_epoch, received.held_back_s, received.remixes_db) == (sent.kept_epoch, 6.5, 0.625)
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
        "kept epoch 6: leakage of drums -2.2 dB, vocals -4.1 dB on silence it had not seen, remixes +0.6 dB"
    )
    assert verdict(Outcome.DID_NOT).sentence == (
        "kept the network as it was: fine-tuning did not help this song (after its last epoch: leakage of "
        "drums -2.2 dB, vocals -4.1 dB on silence it had not seen, remixes +0.6 dB)"
    )


@pytest.mark.parametrize(
    ("leakage_db", "remixes_db", "sentence"),
    [
        (0.04, 0.6, "kept epoch 2: remixes of silence it had not seen +0.6 dB"),
        (-0.04, None, "kept epoch 2: better by less than 0.1 dB on silence it had not seen"),
        (0.0, 0.03, "kept epoch 2: better by less than 0.1 dB on silence it had not seen"),
        (0.2, 0.03, "kept epoch 2: leakage of drums +0.2 dB on silence it had not seen"),
        (
            0.6,
            0.4,
            "kept epoch 2: remixes of silence it had not seen +0.4 dB, "
            "but leakage of drums +0.6 dB on silence it had not seen",
        ),
    ],
)
def test_sentences_leave_out_what_did_not_change(leakage_db, remixes_db, sentence):
    silent = SourceVerdict("bass", 3.0, -170.0, -95.0)
    rows = (SourceVerdict("drums", 4.5, -30.0, -30.0 + leakage_db), silent)
    assert Verdict(Outcome.HELPED, 2, 4.5, rows, remixes_db).sentence == sentence
