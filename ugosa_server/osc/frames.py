"""OSC 1.0 frames, read by hand: strangers' bytes, on the event loop, in a bounded number of steps.

Only what commands are made of is read: bundles, and messages of strings and 32-bit integers. Every element
of a bundle lies within it and takes at least four bytes, so that each step goes forward.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BUNDLE_START = b"#bundle\0"
TIME_TAG_BYTES = 8
WORD_BYTES = 4  # everything in OSC takes a multiple of this
MAX_NESTING = 4
MAX_MESSAGES = 20


class MalformedError(Exception):
    """A datagram that is no command of this version; the message gives the reason."""


@dataclass(frozen=True)
class OscMessage:
    """An address and its arguments."""

    address: str
    """Begins with a slash."""
    tags: str
    """Type tags without their comma: only "i" and "s"."""
    arguments: tuple[int | str, ...]


def read_messages(datagram: bytes) -> list[OscMessage]:
    """Return the messages of a datagram in the order in which they stand; time tags are ignored.

    Raises:
        MalformedError: it is no OSC packet, holds too much, or other types than strings and integers.
    """
    messages: list[OscMessage] = []
    waiting = [(datagram, 0)]  # elements still to be read, the next one last, and how deep each lies
    while waiting:
        element, nesting = waiting.pop()
        if not element.startswith(BUNDLE_START):
            messages.append(_message(element))
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
        size, position = _integer(bundle, position)
        if size <= 0 or size % WORD_BYTES or position + size > len(bundle):
            raise MalformedError(f"an element says {size} bytes; {len(bundle) - position} are left")
        elements.append(bundle[position : position + size])
        position += size
    return elements


def _message(element: bytes) -> OscMessage:
    if not element.startswith(b"/"):
        raise MalformedError(f"neither a bundle nor a message: {element[:8]!r}")
    address, position = _string(element, 0)
    tags = ","
    if position < len(element):  # old senders leave out the type tags where there are no arguments
        tags, position = _string(element, position)
    if not tags.startswith(","):
        raise MalformedError(f"type tags of {address} begin with {tags[:1]!r}, not with a comma")
    arguments: list[int | str] = []
    for tag in tags[1:]:
        if tag not in ("i", "s"):
            raise MalformedError(f"{address} has an argument of type {tag!r}; commands take only i and s")
        value, position = (_integer if tag == "i" else _string)(element, position)
        arguments.append(value)
    if position < len(element):
        raise MalformedError(f"{address} has {len(element) - position} bytes after its last argument")
    return OscMessage(address, tags[1:], tuple(arguments))


def _integer(data: bytes, position: int) -> tuple[int, int]:
    """Return a big-endian int32 and the position behind it."""
    if position + WORD_BYTES > len(data):
        raise MalformedError(f"an integer needs {WORD_BYTES} bytes; {len(data) - position} are left")
    (value,) = struct.unpack_from(">i", data, position)
    return value, position + WORD_BYTES


def _string(data: bytes, position: int) -> tuple[str, int]:
    """Return a string, which ends in one to four NULs, and the position behind them."""
    end = data.find(b"\0", position)
    padded_end = end - end % WORD_BYTES + WORD_BYTES
    if end < 0 or padded_end > len(data):
        raise MalformedError("a string does not end within its message")
    try:
        return data[position:end].decode(), padded_end
    except UnicodeDecodeError as error:
        raise MalformedError(f"a string is not UTF-8: {error.reason}") from error
