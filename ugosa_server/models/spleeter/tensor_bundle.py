"""Tensors out of a TensorFlow checkpoint ("tensor bundle"), without TensorFlow and without running anything.

| file | what it holds |
|---|---|
| PREFIX.index | a LevelDB table: blocks of sorted keys, each with a `BundleEntryProto`: where a tensor lies |
| PREFIX.data-00000-of-00001 | the numbers, little-endian, one tensor after the other |

A table ends in 48 bytes: two handles (offset and size of a block, as varints), zeros, a magic number. The
second handle leads to the block of blocks. A block is entries, a list of restart points, a byte for its
compression and a checksum; an entry is how many bytes of its key it shares with the one before, how many are
its own, how long its value is, then those bytes. Checksums are CRC-32C, rotated and shifted ("masked").

An index is small, its blocks must rise, its keys are short and few, and no length is believed: a made-up file
costs no more than an honest one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import CheckpointError, reason_of

MAX_INDEX_BYTES = 1 << 20  # Spleeter's has five thousand
MAX_ENTRIES = 1 << 14
MAX_KEY_BYTES = 512

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # compression and checksum, behind each block
NO_COMPRESSION = 0
CRC_SHIFT = 0xA282EAD8
MAX_VARINT_BYTES = 10

DT_FLOAT = 1  # of TensorFlow's enum DataType
FLOAT_BYTES = 4

VARINT, BYTES = 0, 2  # protobuf's wire types
FIXED_BYTES = {1: 8, 5: 4}  # by wire type

_Fields = Mapping[int, list[int | bytes]]


@dataclass(frozen=True)
class BundleEntry:
    """Where one tensor lies, and what it is."""

    dtype: int
    """Number in TensorFlow's enum DataType."""
    shape: tuple[int, ...]
    offset: int
    """First byte in the data file."""
    size: int
    """Bytes there."""
    crc32c: int
    """Checksum of those bytes, masked."""


class TensorBundle:
    """A bundle of one data file whose index has been read and checked."""

    def __init__(self, prefix: Path) -> None:
        """Read `PREFIX.index`."""
        self._index = prefix.with_name(prefix.name + ".index")
        self._data = prefix.with_name(prefix.name + ".data-00000-of-00001")
        try:
            data_bytes = self._data.stat().st_size
            index_bytes = self._index.stat().st_size
            if index_bytes > MAX_INDEX_BYTES:
                raise CheckpointError(
                    f"it has {index_bytes} bytes, more than the {MAX_INDEX_BYTES} that an index may have"
                )
            self.entries: Mapping[str, BundleEntry] = _read_entries(self._index.read_bytes(), data_bytes)
        except OSError as error:
            raise CheckpointError(f"cannot read {error.filename or prefix}: {reason_of(error)}") from error
        except CheckpointError as error:
            raise CheckpointError(
                f"{self._index} is not a TensorFlow checkpoint that can be read: {error.message}"
            ) from error

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read a tensor of float32 and check its shape and its checksum."""
        entry = self.entries.get(name)
        if entry is None:
            raise CheckpointError(f"{self._index} has no tensor {name}")
        if entry.dtype != DT_FLOAT or entry.shape != shape or entry.size != FLOAT_BYTES * math.prod(shape):
            raise CheckpointError(
                f"{self._index}: {name} should be float32 of shape {shape}, but is of type {entry.dtype}, "
                f"shape {entry.shape} and {entry.size} bytes"
            )
        try:
            with self._data.open("rb") as file:
                file.seek(entry.offset)
                raw = file.read(entry.size)
        except OSError as error:
            raise CheckpointError(f"cannot read {self._data}: {reason_of(error)}") from error
        if masked_crc32c(raw) != entry.crc32c:
            raise CheckpointError(f"{self._data}: the numbers of {name} do not have their checksum")
        return np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape)


def masked_crc32c(content: bytes) -> int:
    """CRC-32C as LevelDB and TensorFlow keep it."""
    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + CRC_SHIFT) & 0xFFFFFFFF


def _read_entries(index: bytes, data_bytes: int) -> dict[str, BundleEntry]:
    """All entries of an index, by the names of their tensors."""
    entries: dict[str, BundleEntry] = {}
    has_header = False
    for key, value in _table(index):
        fields = _message(value)
        if key == b"":  # `BundleHeaderProto`: number of shards, and 0 for little-endian
            if _number(fields, 1) != 1 or _number(fields, 2) != 0:
                raise CheckpointError("it is in more than one data file, or its numbers are big-endian")
            has_header = True
            continue
        if len(entries) == MAX_ENTRIES:
            raise CheckpointError(f"it has more than {MAX_ENTRIES} entries")
        name = key.decode(errors="replace")
        entry = entries[name] = _entry(name, fields)
        if entry.offset + entry.size > data_bytes:
            raise CheckpointError(
                f"{name} has {entry.size} bytes at {entry.offset}, but the data file ends at {data_bytes}"
            )
    if not has_header:
        raise CheckpointError("it has no header")
    return entries


def _entry(name: str, fields: _Fields) -> BundleEntry:
    """Read `BundleEntryProto`, whose shape is a message with a message for each dimension."""
    if _number(fields, 3) != 0 or 7 in fields:
        raise CheckpointError(f"{name} is in another shard or in slices")
    (shape,) = fields.get(2, [b""])[-1:]
    dimensions = _message(shape) if isinstance(shape, bytes) else {}
    if isinstance(shape, int) or dimensions.keys() - {2}:
        raise CheckpointError(f"{name} has no shape of known sizes")
    sizes = [_message(size) if isinstance(size, bytes) else {} for size in dimensions.get(2, [])]
    return BundleEntry(
        dtype=_number(fields, 1),
        shape=tuple(_number(size, 1) for size in sizes),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        crc32c=_number(fields, 6),
    )


def _table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table."""
    blocks, footer = table[:-FOOTER_BYTES], _Content(table[-FOOTER_BYTES:-8])
    if len(table) < FOOTER_BYTES or int.from_bytes(table[-8:], "little") != MAGIC:
        raise CheckpointError("its end is not that of an index")
    footer.handle()
    stop = 0
    for _, value in _block(blocks, *footer.handle()):
        offset, size = _Content(value).handle()
        if offset < stop:
            raise CheckpointError(f"the block at {offset} begins before byte {stop}, where another ends")
        stop = offset + size
        yield from _block(blocks, offset, size)


def _block(blocks: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block, whose checksum is right."""
    stop = offset + size
    if stop + TRAILER_BYTES > len(blocks):
        raise CheckpointError(f"a block of {size} bytes at {offset} goes beyond the {len(blocks)} of all")
    compression, crc = blocks[stop], blocks[stop + 1 : stop + TRAILER_BYTES]
    if masked_crc32c(blocks[offset : stop + 1]) != int.from_bytes(crc, "little"):
        raise CheckpointError(f"the block at {offset} does not have its checksum")
    if compression != NO_COMPRESSION:
        raise CheckpointError(f"the block at {offset} is compressed (method {compression}): not supported")
    restarts = int.from_bytes(blocks[max(offset, stop - 4) : stop], "little")
    if 4 + 4 * restarts > size:
        raise CheckpointError(f"the block at {offset} has {restarts} restart points, but only {size} bytes")
    entries = _Content(blocks[offset : stop - 4 - 4 * restarts])
    key = b""
    while entries.is_left:
        shared, n_own, n_value = entries.varint(), entries.varint(), entries.varint()
        key = key[:shared] + entries.take(n_own)
        if len(key) > MAX_KEY_BYTES:
            raise CheckpointError(f"a key in the block at {offset} has {len(key)} bytes")
        yield key, entries.take(n_value)


def _message(content: bytes) -> _Fields:
    """Values of a protobuf message, by the numbers of their fields."""
    rest = _Content(content)
    fields: dict[int, list[int | bytes]] = {}
    while rest.is_left:
        field, wire_type = divmod(rest.varint(), 8)
        value: int | bytes
        if wire_type == VARINT:
            value = rest.varint()
        elif wire_type == BYTES:
            value = rest.take(rest.varint())
        elif wire_type in FIXED_BYTES:
            value = int.from_bytes(rest.take(FIXED_BYTES[wire_type]), "little")
        else:
            raise CheckpointError(f"an entry has a field of the unknown type {wire_type}")
        fields.setdefault(field, []).append(value)
    return fields


def _number(fields: _Fields, field: int) -> int:
    value = fields.get(field, [0])[-1]
    if isinstance(value, bytes):
        raise CheckpointError(f"field {field} of an entry should be a number")
    return value


class _Content:
    """Bytes that are read from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    @property
    def is_left(self) -> bool:
        return self._position < len(self._content)

    def take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if self._position > len(self._content):
            raise CheckpointError(f"{size} bytes at byte {start} go beyond the {len(self._content)} of all")
        return self._content[start : self._position]

    def varint(self) -> int:
        """An unsigned number of seven bits a byte."""
        value = 0
        for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise CheckpointError(f"the number before byte {self._position} does not end")

    def handle(self) -> tuple[int, int]:
        """Offset and size of a block."""
        return self.varint(), self.varint()
