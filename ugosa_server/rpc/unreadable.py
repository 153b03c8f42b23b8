"""Bytes that are no message of their method: refused as bad input, once the caller is known.

Left alone, gRPC answers them with UNKNOWN and the name of a Python class, before any interceptor is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from ugosa_server.errors import BadMessageError


@dataclass(frozen=True)
class Unreadable:
    """Stands in the place of a message that could not be read."""

    size_bytes: int
    """Of what came."""

    def error(self) -> BadMessageError:
        """What to say of it."""
        return BadMessageError(
            f"{self.size_bytes} bytes came that are no message of this method; the client was made from"
            " other .proto files, or is none"
        )


def tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A deserializer that gives `Unreadable` where the given one raises."""
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Unreadable(len(data))

    return read


async def readable(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Pass messages on.

    Raises:
        BadMessageError: one could not be read.
    """
    async for message in messages:
        if isinstance(message, Unreadable):
            raise message.error()
        yield message
