"""Datagrams byte by byte, against OSC 1.0's layout worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage

from ugosa_server.jobs import JobState
from ugosa_server.osc.snapshot import MAX_DATAGRAM_BYTES, JobSnapshot, encode


def snapshot(**changes: object) -> JobSnapshot:
    values = {
        "job_id": "j1",
        "seq": 7,
        "state": JobState.RUNNING,
        "fraction": 0.25,
        "eta_s": 12.5,
        "text": "epoch 3",
    }
    return JobSnapshot(**{**values, **changes})  # type: ignore[arg-type]


HEAD = b"/ugosa/v1/job/progress\0\0,sisffs\0"

TABLE = [
    pytest.param(
        snapshot(),
        HEAD + b"j1\0\0\0\0\0\x07RUNNING\0\x3e\x80\0\0\x41\x48\0\0epoch 3\0",
        id="strings that just fit their padding",
    ),
    pytest.param(
        snapshot(eta_s=None, text=""),
        HEAD + b"j1\0\0\0\0\0\x07RUNNING\0\x3e\x80\0\0\xbf\x80\0\0\0\0\0\0",
        id="unknown eta is -1 and an empty string is four NULs",
    ),
    pytest.param(
        snapshot(job_id="job9", seq=258, state=JobState.SUCCEEDED, fraction=1.0, eta_s=0.0, text="done"),
        HEAD + b"job9\0\0\0\0\0\0\x01\x02SUCCEEDED\0\0\0\x3f\x80\0\0\0\0\0\0done\0\0\0\0",
        id="strings of a multiple of four take four NULs more",
    ),
    pytest.param(
        snapshot(text="Größe\n1"),
        HEAD + b"j1\0\0\0\0\0\x07RUNNING\0\x3e\x80\0\0\x41\x48\0\0Gr\xc3\xb6\xc3\x9fe 1\0\0\0",
        id="text is one line of UTF-8",
    ),
]


@pytest.mark.parametrize(("value", "datagram"), TABLE)
def test_snapshot_is_encoded_byte_by_byte(value: JobSnapshot, datagram: bytes) -> None:
    assert encode(value) == datagram


@given(st.text(st.characters(exclude_categories=["C"]), max_size=1500))
def test_long_text_is_cut_between_characters(text: str) -> None:
    datagram = encode(snapshot(text=text))
    assert len(datagram) <= MAX_DATAGRAM_BYTES
    assert len(datagram) % 4 == 0
    received = OscMessage(datagram).params[5]  # decodes strictly: half a character would raise
    assert received == text or (received.endswith("…") and text.startswith(received[:-1]))


@pytest.mark.parametrize("control", ["\0", "\n", "\r", "\t", "\x1b", "\x85", "\ud800"])
def test_control_characters_become_spaces(control: str) -> None:
    assert OscMessage(encode(snapshot(text=f"a{control}b"))).params[5] == "a b"


@pytest.mark.parametrize("char", ["a", "ö", "漢", "🥁"])
def test_long_text_fills_the_datagram(char: str) -> None:
    datagram = encode(snapshot(text=char * 2000))
    received = OscMessage(datagram).params[5]
    assert received == char * (len(received) - 1) + "…"
    assert MAX_DATAGRAM_BYTES - len(datagram) <= len(char.encode())


def test_text_that_just_fits_is_not_cut() -> None:
    longest = MAX_DATAGRAM_BYTES - len(encode(snapshot(text=""))) + 3
    assert OscMessage(encode(snapshot(text="x" * longest))).params[5] == "x" * longest
    assert OscMessage(encode(snapshot(text="x" * (longest + 1)))).params[5].endswith("…")
