"""Any datagram is commands or malformed; nothing else happens."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import build_msg

from tests.helpers.mutations import hostile
from ugosa_server.osc.commands import COMMANDS, MAX_MESSAGES, MalformedError, parse

MESSAGES = [
    build_msg("/ugosa/v1/subscribe", [9000, "127.0.0.1", 60]),
    build_msg("/ugosa/v1/unsubscribe", [9000]),
    build_msg("/ugosa/v1/query", ["job-0123456789abcdef"]),
    build_msg("/ugosa/v1/cancel", ["job-0123456789abcdef"]),
]


def bundle():
    builder = OscBundleBuilder(IMMEDIATELY)
    for message in MESSAGES:
        builder.add_content(message)
    return builder.build().dgram


HEAD = b"#bundle\0" + bytes(7) + b"\1"
SIZES = st.sampled_from([-(2**31), -20, -16, -8, -4, -1, 0, 1, 4, 8, 2**31 - 1]) | st.integers(-64, 1400)


@st.composite
def lying_bundles(draw, depth=5):
    """Bundles within bundles whose elements say any size."""
    data = HEAD
    for _ in range(draw(st.integers(0, 4))):
        inner = st.sampled_from([message.dgram for message in MESSAGES]) | st.binary(max_size=12)
        element = draw(inner | lying_bundles(depth - 1) if depth else inner)
        data += struct.pack(">i", draw(st.just(len(element)) | SIZES)) + element
    return data


@given(datagram=lying_bundles())
@example(datagram=HEAD + struct.pack(">i", -4))  # goes back to itself
@example(datagram=HEAD + struct.pack(">i", 0) * 300)
@example(datagram=b"/" + bytes(3) + b"," + b"[" * 1300 + bytes(3))
def test_bundles_that_lie_about_sizes_end(datagram):
    check(datagram)


@given(datagram=hostile([*(message.dgram for message in MESSAGES), bundle(), b"#bundle\0" * 100]))
def test_any_datagram_is_commands_or_malformed(datagram):
    check(datagram)


def check(datagram):
    try:
        commands = parse(datagram)
    except MalformedError:
        return
    for address, arguments in commands:
        tags = "".join("i" if isinstance(value, int) else "s" for value in arguments.values())
        assert COMMANDS[address, f",{tags}"] == tuple(arguments)
    assert len(commands) <= MAX_MESSAGES, "no datagram unfolds into more than it says"
