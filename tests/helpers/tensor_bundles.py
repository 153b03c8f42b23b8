"""Writes TensorFlow's tensor bundles, byte for byte as they are laid out, for tests of what reads them."""

import struct

import numpy as np

from ugosa_server.models.spleeter.tensor_bundle import MAGIC, masked_crc32c

ENTRIES_A_BLOCK = 5
DTYPES = {"<f4": 1, "<f8": 2, "<i8": 9}


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def bundle_entry(dtype, shape, offset, content):
    dimensions = b"".join(message(2, number(1, size)) for size in shape)
    crc = varint(6 << 3 | 5) + struct.pack("<I", masked_crc32c(content))
    return (
        number(1, dtype)
        + message(2, dimensions)
        + (number(4, offset) if offset else b"")
        + number(5, len(content))
        + crc
    )


HEADER = number(1, 1) + message(3, number(1, 1))


def block(entries):
    """A block whose keys share what they can with the one before; one restart point."""
    content, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), len(last))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return content + struct.pack("<II", 0, 1)


def table(blocks, compression=0):
    """A table of blocks, each a list of keys and values."""
    out, handles = b"", []

    def put(content):
        nonlocal out
        handle = varint(len(out)) + varint(len(content))
        tail = content + bytes([compression])
        out += tail + struct.pack("<I", masked_crc32c(tail))
        return handle

    for entries in blocks:
        handles.append((entries[-1][0], put(block(entries))))
    meta = put(block([]))
    index = put(block(handles))
    return out + (meta + index).ljust(40, b"\x00") + struct.pack("<Q", MAGIC)


def write_bundle(prefix, tensors):
    """Write `prefix.index` and its data file with these arrays, by name."""
    data, entries = b"", [(b"", HEADER)]
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        dtype = DTYPES[array.dtype.newbyteorder("<").str]
        entries.append((name.encode(), bundle_entry(dtype, array.shape, len(data), content)))
        data += content
    blocks = [entries[i : i + ENTRIES_A_BLOCK] for i in range(0, len(entries), ENTRIES_A_BLOCK)]
    prefix.with_name(prefix.name + ".index").write_bytes(table(blocks))
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(data)
