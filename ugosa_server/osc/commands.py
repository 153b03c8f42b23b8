"""Commands in datagrams, the limit on their rate, and the subscriptions that they make.

Bundles are strangers' bytes, read on the event loop, and are taken apart here in a bounded number of steps:
every element lies within its bundle and takes at least four bytes, so that each step goes forward.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pythonosc.parsing.osc_types import ParseError, get_int, get_string

from ugosa_server.addresses import MAX_PORT
from ugosa_server.errors import BadOptionError
from ugosa_server.osc.snapshot import MAX_DATAGRAM_BYTES

Address = tuple[str, int]
"""An IP address in text and a UDP port."""

SUBSCRIBE = "/ugosa/v1/subscribe"
UNSUBSCRIBE = "/ugosa/v1/unsubscribe"
QUERY = "/ugosa/v1/query"
CANCEL = "/ugosa/v1/cancel"
ACCEPT = "/ugosa/v1/accept"

COMMANDS = {
    (SUBSCRIBE, ",i"): ("port",),
    (SUBSCRIBE, ",ii"): ("port", "ttl_s"),
    (SUBSCRIBE, ",is"): ("port", "host"),
    (SUBSCRIBE, ",isi"): ("port", "host", "ttl_s"),
    (UNSUBSCRIBE, ",i"): ("port",),
    (UNSUBSCRIBE, ",is"): ("port", "host"),
    (QUERY, ","): (),
    (QUERY, ",s"): ("job_id",),
    (CANCEL, ",s"): ("job_id",),
    (ACCEPT, ",s"): ("job_id",),
}
"""Names of the arguments, by address and type tags."""
READERS = {"i": get_int, "s": get_string}

BUNDLE_START = b"#bundle\0"
TIME_TAG_BYTES = 8
WORD_BYTES = 4  # everything in OSC takes a multiple of this
MAX_NESTING = 4
MAX_MESSAGES = 20  # of a datagram
MAX_MESSAGES_PER_S = MAX_MESSAGES  # so that a full bundle can be carried out
MAX_TTL_S = 3600
MAX_SUBSCRIBERS = 32


class MalformedError(Exception):
    """A datagram that is no command of this version; the message gives the reason."""


class Command(NamedTuple):
    """A message that stands in COMMANDS."""

    address: str
    arguments: dict[str, Any]
    """By name; values are unchecked."""


def parse(datagram: bytes) -> list[Command]:
    """Return the commands of a datagram in the order in which they stand; time tags are ignored.

    Raises:
        MalformedError: one of them is not understood; then none is to be carried out.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise MalformedError(f"datagram has {len(datagram)} bytes; at most {MAX_DATAGRAM_BYTES} are read")
    try:
        return [_command(message) for message in _messages(datagram)]
    except (ParseError, UnicodeDecodeError) as error:
        raise MalformedError(str(error)) from error


def _messages(datagram: bytes) -> list[bytes]:
    messages: list[bytes] = []
    waiting = [(datagram, 0)]  # elements still to be read, the next one last, and how deep each lies
    while waiting:
        element, nesting = waiting.pop()
        if not element.startswith(BUNDLE_START):
            messages.append(element)
        elif nesting == MAX_NESTING:
            raise MalformedError(f"bundles are nested more than {MAX_NESTING} deep")
        else:
            waiting += [(inner, nesting + 1) for inner in reversed(_elements(element))]
        if len(messages) + len(waiting) > MAX_MESSAGES:
            raise MalformedError(f"a datagram may hold at most {MAX_MESSAGES} messages")
    return messages


def _elements(bundle: bytes) -> list[bytes]:
    """Return the elements of a bundle: each its size, a positive multiple of four, and as many bytes."""
    position = len(BUNDLE_START) + TIME_TAG_BYTES
    if len(bundle) < position:
        raise MalformedError("a bundle ends within its time tag")
    elements = []
    while position < len(bundle):
        size, position = get_int(bundle, position)
        if size <= 0 or size % WORD_BYTES or position + size > len(bundle):
            raise MalformedError(f"an element says {size} bytes; {len(bundle) - position} are left")
        elements.append(bundle[position : position + size])
        position += size
    return elements


def _command(message: bytes) -> Command:
    address, position = get_string(message, 0)
    tags = ","
    if position < len(message):  # old senders leave out the type tags where there are no arguments
        tags, position = get_string(message, position)
    names = COMMANDS.get((address, tags))
    if names is None:
        raise MalformedError(f"{address!r} with type tags {tags!r} is not a command")
    arguments: dict[str, Any] = {}
    for name, tag in zip(names, tags[1:], strict=True):
        arguments[name], position = READERS[tag](message, position)
    if position < len(message):
        raise MalformedError(f"{address} has {len(message) - position} bytes after its last argument")
    return Command(address, arguments)


class Subscribers:
    """Subscriptions with a time to live; the time is passed in."""

    def __init__(self) -> None:
        self._expiry_s: dict[Address, float] = {}

    def add(self, address: Address, ttl_s: int, now_s: float) -> None:
        """Add or renew a subscription.

        Raises:
            BadOptionError: a value is out of its range, or there are `MAX_SUBSCRIBERS` others.
        """
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise BadOptionError(f"time to live is {ttl_s} s; it must be 1 to {MAX_TTL_S} s")
        if not 1 <= address[1] <= MAX_PORT:
            raise BadOptionError(f"port is {address[1]}; it must be 1 to {MAX_PORT}")
        others = [other for other in self.active(now_s) if other != address]
        if len(others) >= MAX_SUBSCRIBERS:
            raise BadOptionError(f"there are {len(others)} subscribers; at most {MAX_SUBSCRIBERS} are served")
        self._expiry_s[address] = now_s + ttl_s

    def remove(self, address: Address) -> None:
        """End a subscription, if there is one."""
        self._expiry_s.pop(address, None)

    def active(self, now_s: float) -> list[Address]:
        """Return the addresses subscribed now, and drop those whose time is over."""
        self._expiry_s = {address: end_s for address, end_s in self._expiry_s.items() if now_s < end_s}
        return list(self._expiry_s)


class RateLimit:
    """A token bucket: at most `per_s` permits at once, and a second on average; the time is passed in."""

    def __init__(self, per_s: int = MAX_MESSAGES_PER_S) -> None:
        self._per_s = per_s
        self._tokens = float(per_s)
        self._filled_s = 0.0

    def permit(self, now_s: float) -> bool:
        """Take a permit, if there is one."""
        self._tokens = min(float(self._per_s), self._tokens + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
