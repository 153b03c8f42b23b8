"""Commands in datagrams, the limit on their rate, and the subscriptions that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ugosa_server.addresses import MAX_PORT, loopback_ip
from ugosa_server.osc.frames import MAX_MESSAGES, MalformedError, OscMessage, read_messages
from ugosa_server.osc.snapshot import MAX_DATAGRAM_BYTES

Address = tuple[str, int]
"""An IP address in text and a UDP port."""

SUBSCRIBE_ADDRESS = "/ugosa/v1/subscribe"
UNSUBSCRIBE_ADDRESS = "/ugosa/v1/unsubscribe"
QUERY_ADDRESS = "/ugosa/v1/query"
CANCEL_ADDRESS = "/ugosa/v1/cancel"
ACCEPT_ADDRESS = "/ugosa/v1/accept"
MAX_MESSAGES_PER_S = MAX_MESSAGES  # so that a full bundle can be carried out
DEFAULT_TTL_S = 60
MAX_TTL_S = 3600
MAX_SUBSCRIBERS = 32


class SubscriptionRefusedError(Exception):
    """Refusal of a subscription; the message gives the reason."""


def subscriber_ip(host: str) -> str:
    """Return the loopback IP address of a subscriber's host.

    Raises:
        SubscriptionRefusedError: the host is neither `localhost` nor a loopback address.
    """
    ip = loopback_ip(host)
    if ip is None:
        raise SubscriptionRefusedError(f"host {host!r} is neither localhost nor a loopback IP address")
    return ip


class Subscribers:
    """Subscriptions with a time to live; the time is passed in."""

    def __init__(self) -> None:
        self._expiry_s: dict[Address, float] = {}

    def add(self, address: Address, ttl_s: int, now_s: float) -> None:
        """Add or renew a subscription.

        Raises:
            SubscriptionRefusedError: a value is out of its range, or there are `MAX_SUBSCRIBERS` others.
        """
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise SubscriptionRefusedError(f"time to live is {ttl_s} s; it must be 1 to {MAX_TTL_S} s")
        if not 1 <= address[1] <= MAX_PORT:
            raise SubscriptionRefusedError(f"port is {address[1]}; it must be 1 to {MAX_PORT}")
        others = [other for other in self.active(now_s) if other != address]
        if len(others) >= MAX_SUBSCRIBERS:
            raise SubscriptionRefusedError(
                f"there are {len(others)} subscribers; at most {MAX_SUBSCRIBERS} are served"
            )
        self._expiry_s[address] = now_s + ttl_s

    def remove(self, address: Address) -> None:
        """End a subscription, if there is one."""
        self._expiry_s.pop(address, None)

    def active(self, now_s: float) -> list[Address]:
        """Return the addresses subscribed now, and drop those whose time is over."""
        self._expiry_s = {address: end_s for address, end_s in self._expiry_s.items() if now_s < end_s}
        return list(self._expiry_s)


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
    host: str | None = None


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


@dataclass(frozen=True)
class Accept:
    """Have a job learn no more and go on to its stems."""

    job_id: str
    """Unchecked."""


Command = Subscribe | Unsubscribe | Query | Cancel | Accept


def parse(datagram: bytes) -> list[Command]:
    """Return the commands of a datagram, of which a bundle may hold several.

    Raises:
        MalformedError: one of them is not understood; then none is to be carried out.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise MalformedError(f"datagram has {len(datagram)} bytes; at most {MAX_DATAGRAM_BYTES} are read")
    return [_command(message) for message in read_messages(datagram)]


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
    (ACCEPT_ADDRESS, "s"): Accept,
}


def _command(message: OscMessage) -> Command:
    command = _COMMANDS.get((message.address, message.tags))
    if command is None:
        raise MalformedError(f"{message.address} with type tags ',{message.tags}' is not a command")
    return command(*message.arguments)


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
