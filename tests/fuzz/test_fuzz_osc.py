"""Any datagram is commands or malformed; nothing else happens."""

from hypothesis import given
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import build_msg

from tests.helpers.mutations import hostile
from ugosa_server.osc.commands import Cancel, MalformedError, Query, Subscribe, Unsubscribe, parse
from ugosa_server.osc.snapshot import MAX_DATAGRAM_BYTES

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


@given(datagram=hostile([*(message.dgram for message in MESSAGES), bundle(), b"#bundle\0" * 100]))
def test_any_datagram_is_commands_or_malformed(datagram):
    try:
        commands = parse(datagram)
    except MalformedError:
        return
    assert all(isinstance(command, Subscribe | Unsubscribe | Query | Cancel) for command in commands)
    assert len(commands) <= MAX_DATAGRAM_BYTES / 16, "no datagram unfolds into more than it says"
