"""From datagrams to commands: pure parsing, and the limit on how many are heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pythonosc.osc_message import OscMessage
from pythonosc.osc_packet import OscPacket, ParseError

from ugosa_server.osc.snapshot import MAX_DATAGRAM_BYTES
from ugosa_server.osc.subscribers import DEFAULT_TTL_S

SUBSCRIBE_ADDRESS = "/ugosa/v1/subscribe"
UNSUBSCRIBE_ADDRESS = "/ugosa/v1/unsubscribe"
QUERY_ADDRESS = "/ugosa/v1/query"
CANCEL_ADDRESS = "/ugosa/v1/cancel"
MAX_MESSAGES_PER_S = 20


@dataclass(frozen=True)
class Subscribe:
    """Send progress to a port."""

    port: int
    """UDP port, unchecked."""
    host: str | None = None
    """As sent, unchecked; None = the address that the control socket listens on."""
    ttl_s: int = DEFAULT_TTL_S
    """Seconds until the subscription ends, unchecked."""


@dataclass(frozen=True)
class Unsubscribe:
    """Send no more progress to a port."""

    port: int
    """As in `Subscribe`."""
    host: str | None = None
    """As in `Subscribe`."""


@dataclass(frozen=True)
class Query:
    """Send a snapshot."""

    job_id: str | None = None
    """None = of every live job."""


@dataclass(frozen=True)
class Cancel:
    """Cancel a job."""

    job_id: str
    """Unchecked."""


Command = Subscribe | Unsubscribe | Query | Cancel


class MalformedError(Exception):
    """A datagram that is no command of this version; the message says why."""


def parse(datagram: bytes) -> list[Command]:
    """Return the commands of a datagram, of which a bundle may hold several.

    Raises:
        MalformedError: one of them is not understood; then none is to be carried out.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise MalformedError(f"datagram has {len(datagram)} bytes; at most {MAX_DATAGRAM_BYTES} are read")
    try:
        messages = [timed.message for timed in OscPacket(datagram).messages]
    except (ParseError, UnicodeDecodeError) as error:
        raise MalformedError(f"not an OSC packet: {error}") from error
    return [_command(message) for message in messages]


_TYPE_TAGS = {int: "i", str: "s"}  # by exact type: to Python a bool is an int, but OSC's T and F are no ports

_COMMANDS: dict[tuple[str, str], Callable[..., Command]] = {
    (SUBSCRIBE_ADDRESS, "i"): Subscribe,
    (SUBSCRIBE_ADDRESS, "ii"): lambda port, ttl_s: Subscribe(port, ttl_s=ttl_s),
    (SUBSCRIBE_ADDRESS, "is"): Subscribe,
    (SUBSCRIBE_ADDRESS, "isi"): Subscribe,
    (UNSUBSCRIBE_ADDRESS, "i"): Unsubscribe,
    (UNSUBSCRIBE_ADDRESS, "is"): Unsubscribe,
    (QUERY_ADDRESS, ""): Query,
    (QUERY_ADDRESS, "s"): Query,
    (CANCEL_ADDRESS, "s"): Cancel,
}


def _command(message: OscMessage) -> Command:
    tags = "".join(_TYPE_TAGS.get(type(argument), "?") for argument in message.params)
    command = _COMMANDS.get((message.address, tags))
    if command is None:
        raise MalformedError(f"{message.address} with type tags ',{tags}' is not a command")
    return command(*message.params)


class RateLimit:
    """A token bucket: at most `per_s` permits at once, and a second on average; the time is passed in."""

    def __init__(self, per_s: int = MAX_MESSAGES_PER_S) -> None:
        self._per_s = per_s
        self._tokens = float(per_s)
        self._filled_s: float | None = None

    def permit(self, now_s: float) -> bool:
        """Take a permit, if there is one."""
        if self._filled_s is not None:
            self._tokens = min(float(self._per_s), self._tokens + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
