"""Commands byte by byte, their rate, and subscriptions at times that the tests choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.errors import BadOptionError
from ugosa_server.osc.commands import (
    COMMANDS,
    MAX_SUBSCRIBERS,
    Command,
    MalformedError,
    RateLimit,
    Subscribers,
    parse,
)

SUBSCRIBE = b"/ugosa/v1/subscribe\0"
UNSUBSCRIBE = b"/ugosa/v1/unsubscribe\0\0\0"
QUERY = b"/ugosa/v1/query\0"
CANCEL = b"/ugosa/v1/cancel\0\0\0\0"
PORT_9877 = b"\0\0\x26\x95"
LOCALHOST = b"127.0.0.1\0\0\0"

JOB = {"job_id": "j1"}
TABLE = [
    (SUBSCRIBE + b",i\0\0" + PORT_9877, "subscribe", {"port": 9877}),
    (SUBSCRIBE + b",ii\0" + PORT_9877 + b"\0\0\0\x05", "subscribe", {"port": 9877, "ttl_s": 5}),
    (SUBSCRIBE + b",is\0" + PORT_9877 + LOCALHOST, "subscribe", {"port": 9877, "host": "127.0.0.1"}),
    (
        SUBSCRIBE + b",isi\0\0\0\0" + PORT_9877 + LOCALHOST + b"\0\0\x0e\x10",
        "subscribe",
        {"port": 9877, "host": "127.0.0.1", "ttl_s": 3600},
    ),
    (UNSUBSCRIBE + b",i\0\0" + PORT_9877, "unsubscribe", {"port": 9877}),
    (UNSUBSCRIBE + b",is\0" + PORT_9877 + LOCALHOST, "unsubscribe", {"port": 9877, "host": "127.0.0.1"}),
    (QUERY + b",\0\0\0", "query", {}),
    (QUERY, "query", {}),  # senders older than type tags leave them out
    (QUERY + b",s\0\0" + b"j1\0\0", "query", JOB),
    (CANCEL + b",s\0\0" + b"j1\0\0", "cancel", JOB),
    (b"/ugosa/v1/accept\0\0\0\0,s\0\0j1\0\0", "accept", JOB),
]


@pytest.mark.parametrize(("datagram", "name", "arguments"), TABLE)
def test_parse_reads_commands_from_their_bytes(
    datagram: bytes, name: str, arguments: dict[str, int | str]
) -> None:
    assert parse(datagram) == [Command(f"/ugosa/v1/{name}", arguments)]


def test_every_command_has_its_bytes_in_the_table() -> None:
    assert {(f"/ugosa/v1/{name}", tuple(arguments)) for _, name, arguments in TABLE} == {
        (address, names) for (address, _), names in COMMANDS.items()
    }


def test_parse_takes_bundles_apart() -> None:
    cancel = CANCEL + b",s\0\0" + b"j1\0\0"
    immediately = b"\0\0\0\0\0\0\0\x01"
    element = len(cancel).to_bytes(4, "big") + cancel
    assert parse(b"#bundle\0" + immediately + element + element) == [Command("/ugosa/v1/cancel", JOB)] * 2


MALFORMED = {
    "empty": b"",
    "not OSC": b"GET / HTTP/1.1\r\n",
    "no argument": CANCEL + b",\0\0\0",
    "wrong type": CANCEL + b",i\0\0" + PORT_9877,
    "True is no port": SUBSCRIBE + b",T\0\0",
    "one argument too many": CANCEL + b",ss\0" + b"j1\0\0" + b"j2\0\0",
    "cut inside a number": SUBSCRIBE + b",i\0\0" + b"\0\0",
    "cut inside a string": CANCEL + b",s\0\0" + b"j1",
    "not UTF-8": CANCEL + b",s\0\0" + b"\xff\xfe\0\0",
    "unknown address": b"/ugosa/v2/cancel\0\0\0\0,s\0\0j1\0\0",
    "an address pattern": b"/ugosa/*/cancel\0,s\0\0j1\0\0",
    "too long": CANCEL + b",s\0\0" + b"x" * 1400 + b"\0\0\0\0",
}


@pytest.mark.parametrize("datagram", MALFORMED.values(), ids=MALFORMED)
def test_parse_refuses_malformed_datagrams(datagram: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(datagram)


def assert_known(commands: list[Command]) -> None:
    for address, arguments in commands:
        tags = "".join("i" if isinstance(value, int) else "s" for value in arguments.values())
        assert COMMANDS[address, f",{tags}"] == tuple(arguments)


@given(st.binary(max_size=1500) | st.binary(max_size=200).map(lambda tail: b"#bundle\0" + tail))
def test_parse_raises_only_malformed_for_any_bytes(datagram: bytes) -> None:
    try:
        commands = parse(datagram)
    except MalformedError:
        return
    assert_known(commands)


@given(st.sampled_from([datagram for datagram, *_ in TABLE]), st.integers(0, 60), st.integers(0, 255))
def test_parse_raises_only_malformed_for_a_damaged_byte(datagram: bytes, position: int, byte: int) -> None:
    position %= len(datagram)
    damaged = datagram[:position] + bytes([byte]) + datagram[position + 1 :]
    try:
        commands = parse(damaged)
    except MalformedError:
        return
    assert_known(commands)


def test_rate_limit_permits_one_second_at_once() -> None:
    limit = RateLimit(per_s=20)
    assert sum(limit.permit(now_s=100.0) for _ in range(1000)) == 20
    assert sum(limit.permit(now_s=100.5) for _ in range(1000)) == 10
    assert sum(limit.permit(now_s=200.0) for _ in range(1000)) == 20


HERE = ("127.0.0.1", 9877)


def test_subscription_ends_after_its_time_to_live() -> None:
    subscribers = Subscribers()
    subscribers.add(HERE, ttl_s=5, now_s=100.0)
    assert subscribers.active(now_s=104.9) == [HERE]
    assert subscribers.active(now_s=105.0) == []


def test_subscribing_again_renews_the_subscription() -> None:
    subscribers = Subscribers()
    subscribers.add(HERE, ttl_s=5, now_s=100.0)
    subscribers.add(HERE, ttl_s=5, now_s=104.0)
    assert subscribers.active(now_s=108.0) == [HERE]


def test_unsubscribing_twice_is_no_error() -> None:
    subscribers = Subscribers()
    subscribers.add(HERE, ttl_s=5, now_s=0.0)
    subscribers.remove(HERE)
    subscribers.remove(HERE)
    assert subscribers.active(now_s=0.0) == []


@pytest.mark.parametrize(
    ("port", "ttl_s", "said"),
    [(0, 60, "port is 0"), (65536, 60, "port is 65536"), (9877, 0, "is 0 s"), (9877, 3601, "is 3601 s")],
)
def test_subscription_out_of_range_is_refused(port: int, ttl_s: int, said: str) -> None:
    with pytest.raises(BadOptionError, match=said):
        Subscribers().add(("127.0.0.1", port), ttl_s, now_s=0.0)


def test_ended_subscriptions_make_room() -> None:
    subscribers = Subscribers()
    for port in range(1, MAX_SUBSCRIBERS + 1):
        subscribers.add(("127.0.0.1", port), ttl_s=10 + port, now_s=0.0)
    with pytest.raises(BadOptionError, match=f"at most {MAX_SUBSCRIBERS}"):
        subscribers.add(HERE, ttl_s=5, now_s=0.0)
    subscribers.add(("127.0.0.1", 5), ttl_s=100, now_s=0.0)
    subscribers.add(HERE, ttl_s=5, now_s=11.0)
    assert HERE in subscribers.active(now_s=11.0)
