"""Tensors out of a TensorFlow checkpoint ("tensor bundle"), without TensorFlow and without running anything.

| file | what it holds |
|---|---|
| PREFIX.index | a LevelDB table: blocks of sorted keys, each with a `BundleEntryProto`: where a tensor lies |
| PREFIX.data-00000-of-00001 | the numbers, little-endian, one tensor after the other |

A table ends in 48 bytes: two handles (offset and size of a block, as varints), zeros, a magic number. The
second handle leads to the block of blocks. A block is entries, a list of restart points, a byte for its
compression and a checksum; an entry is how many bytes of its key it shares with the one before, how many are
its own, how long its value is, then those bytes. Checksums are CRC-32C, rotated and shifted ("masked").

Every length, offset and count is held against the size of the file before anything is read for it, keys and
blocks must rise, and tensors cannot share numbers: a made-up file costs no more than an honest one.
"""

from __future__ import annotations

import math
import struct
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
MAX_DIMENSIONS = 8

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # compression and checksum, behind each block
NO_COMPRESSION = 0
CRC_SHIFT = 0xA282EAD8
MAX_VARINT_BYTES = 10

DT_FLOAT = 1  # of TensorFlow's enum DataType
FLOAT_BYTES = 4

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # protobuf's wire types

_Fields = Mapping[int, int | bytes]


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
        """Read `PREFIX.index`.

        Raises:
            CheckpointError: a file is missing, or the index is damaged or none.
        """
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
        """Read a tensor of float32 and check its shape and its checksum.

        Raises:
            CheckpointError: there is none of that name and shape, or its numbers are damaged.
        """
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
        if len(raw) != entry.size or masked_crc32c(raw) != entry.crc32c:
            raise CheckpointError(f"{self._data}: the numbers of {name} do not have their checksum")
        return np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape)


def masked_crc32c(content: bytes) -> int:
    """CRC-32C as LevelDB and TensorFlow keep it."""
    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + CRC_SHIFT) & 0xFFFFFFFF


def _read_entries(index: bytes, data_bytes: int) -> dict[str, BundleEntry]:
    """All entries of an index, by the names of their tensors."""
    entries: dict[str, BundleEntry] = {}
    total_bytes = 0
    has_header = False
    for key, value in _table(index):
        if key == b"":
            _check_header(value)
            has_header = True
            continue
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"the name {key!r} is not text") from error
        entry = _entry(name, value)
        total_bytes += entry.size
        if entry.offset + entry.size > data_bytes or total_bytes > data_bytes:
            raise CheckpointError(
                f"{name} has {entry.size} bytes at {entry.offset}, but the data file ends at {data_bytes}"
            )
        entries[name] = entry
    if not has_header:
        raise CheckpointError("it has no header")
    return entries


def _table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table, in rising order."""
    end = len(table) - FOOTER_BYTES
    if end < 0 or struct.unpack("<Q", table[-8:])[0] != MAGIC:
        raise CheckpointError("its end is not that of an index")
    _, position = _handle(table, end, len(table) - 8)
    (offset, size), _ = _handle(table, position, len(table) - 8)
    last_key: bytes | None = None
    n_entries = stop = 0
    for _, value in _block(table, offset, size, end):
        (offset, size), _ = _handle(value, 0, len(value))
        if offset < stop:
            raise CheckpointError(f"the block at {offset} begins before byte {stop}, where another ends")
        stop = offset + size
        for key, content in _block(table, offset, size, end):
            n_entries += 1
            if n_entries > MAX_ENTRIES:
                raise CheckpointError(f"it has more than {MAX_ENTRIES} entries")
            if last_key is not None and key <= last_key:
                raise CheckpointError(f"{key!r} comes after {last_key!r}")
            last_key = key
            yield key, content


def _block(table: bytes, offset: int, size: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block, whose checksum is right."""
    stop = offset + size
    if stop + TRAILER_BYTES > end:
        raise CheckpointError(f"a block of {size} bytes at {offset} goes beyond the {end} bytes of blocks")
    (crc,) = struct.unpack_from("<I", table, stop + 1)
    if masked_crc32c(table[offset : stop + 1]) != crc:
        raise CheckpointError(f"the block at {offset} does not have its checksum")
    if table[stop] != NO_COMPRESSION:
        raise CheckpointError(f"the block at {offset} is compressed (method {table[stop]}): not supported")
    restarts = struct.unpack_from("<I", table, stop - 4)[0] if size >= 4 else size
    limit = stop - 4 - 4 * restarts
    if limit < offset:
        raise CheckpointError(f"the block at {offset} has {restarts} restart points, but only {size} bytes")
    key, position = b"", offset
    while position < limit:
        shared, position = _varint(table, position, limit)
        n_own, position = _varint(table, position, limit)
        n_value, position = _varint(table, position, limit)
        if shared > len(key) or shared + n_own > MAX_KEY_BYTES or position + n_own + n_value > limit:
            raise CheckpointError(f"an entry before byte {position} has lengths that do not fit")
        key = key[:shared] + table[position : position + n_own]
        position += n_own + n_value
        yield key, table[position - n_value : position]


def _handle(content: bytes, position: int, limit: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the next thing begins."""
    offset, position = _varint(content, position, limit)
    size, position = _varint(content, position, limit)
    return (offset, size), position


def _varint(content: bytes, position: int, limit: int) -> tuple[int, int]:
    """An unsigned number of seven bits a byte, and where the next thing begins."""
    value = 0
    for n in range(MAX_VARINT_BYTES):
        if position + n >= limit:
            break
        byte = content[position + n]
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value, position + n + 1
    raise CheckpointError(f"the number at byte {position} does not end")


def _check_header(value: bytes) -> None:
    """Read `BundleHeaderProto`: one shard (field 1), little-endian (field 2 = 0)."""
    fields = dict(_fields(value))
    if fields.get(1) != 1 or fields.get(2, 0) != 0:
        raise CheckpointError("it is in more than one data file, or its numbers are big-endian")


def _entry(name: str, value: bytes) -> BundleEntry:
    """Read `BundleEntryProto`."""
    fields = dict(_fields(value))
    if fields.get(3, 0) != 0 or 7 in fields:
        raise CheckpointError(f"{name} is in another shard or in slices")
    return BundleEntry(
        dtype=_number(fields, 1),
        shape=_shape(name, fields.get(2, b"")),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        crc32c=_number(fields, 6),
    )


def _number(fields: _Fields, field: int) -> int:
    value = fields.get(field, 0)
    if isinstance(value, bytes):
        raise CheckpointError(f"field {field} of an entry should be a number")
    return value


def _shape(name: str, value: int | bytes) -> tuple[int, ...]:
    """Read `TensorShapeProto`: a message for each dimension, whose field 1 is the size."""
    if isinstance(value, int):
        raise CheckpointError(f"{name} has a number in place of a shape")
    shape: list[int] = []
    for field, dimension in _fields(value):
        if field != 2 or isinstance(dimension, int) or len(shape) == MAX_DIMENSIONS:
            raise CheckpointError(f"{name} has no shape of known sizes, or too many dimensions")
        shape.append(_number(dict(_fields(dimension)), 1))
    return tuple(shape)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and contents of a protobuf message's fields, in the order of the file."""
    position, limit = 0, len(message)
    while position < limit:
        tag, position = _varint(message, position, limit)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            number, position = _varint(message, position, limit)
            yield field, number
            continue
        if wire_type == BYTES:
            length, position = _varint(message, position, limit)
        elif wire_type in (FIXED_32, FIXED_64):
            length = 4 if wire_type == FIXED_32 else 8
        else:
            raise CheckpointError(f"an entry has a field of the unknown type {wire_type}")
        if position + length > limit:
            raise CheckpointError(f"an entry's field of {length} bytes goes beyond its {limit} bytes")
        content = message[position : position + length]
        position += length
        yield field, content if wire_type == BYTES else int.from_bytes(content, "little")
