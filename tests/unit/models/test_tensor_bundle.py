"""Tensor bundles are read as they were written; what is damaged, odd or too much is refused."""

import struct
import time

import numpy as np
import pytest

from tests.helpers.tensor_bundles import HEADER, bundle_entry, message, number, table, varint, write_bundle
from ugosa_server.errors import CheckpointError
from ugosa_server.models.spleeter.tensor_bundle import (
    MAGIC,
    MAX_ENTRIES,
    MAX_INDEX_BYTES,
    TensorBundle,
    masked_crc32c,
)


def arrays():
    random = np.random.default_rng(0)
    shapes = {"conv2d/kernel": (5, 5, 2, 3), "conv2d/bias": (3,), "conv2d_1/kernel": (2, 1), "scalar": ()}
    made = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    many = {f"layer_{i}/bias": np.full(2, i, np.float32) for i in range(20)}
    return {**made, **many, "global_step": np.array(7, np.int64)}


@pytest.fixture
def prefix(tmp_path):
    write_bundle(tmp_path / "model", arrays())
    return tmp_path / "model"


def index_of(prefix):
    return prefix.with_name("model.index")


def data_of(prefix):
    return prefix.with_name("model.data-00000-of-00001")


def refuses(prefix, words):
    with pytest.raises(CheckpointError, match=words):
        TensorBundle(prefix)


def test_tensors_come_back_as_they_were_written(prefix):
    bundle = TensorBundle(prefix)
    assert set(bundle.entries) == set(arrays())
    for name, array in arrays().items():
        if array.dtype == np.float32:
            np.testing.assert_array_equal(bundle.read(name, array.shape), array)


def test_checksums_are_masked_as_leveldb_does():
    # CRC-32C of 32 zero bytes is 8a9136aa (RFC 3720, B.4); rotated right by 15, plus the constant.
    crc = 0x8A9136AA
    assert masked_crc32c(bytes(32)) == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_a_missing_file_is_named(tmp_path):
    refuses(tmp_path / "model", "model.data-00000-of-00001")


def test_a_tensor_of_another_kind_is_refused(prefix):
    bundle = TensorBundle(prefix)
    for name, shape in (("conv2d/bias", (4,)), ("conv2d/bias", (3, 1)), ("global_step", ())):
        with pytest.raises(CheckpointError, match=f"{name} should be float32 of shape"):
            bundle.read(name, shape)
    with pytest.raises(CheckpointError, match="has no tensor nothing"):
        bundle.read("nothing", (1,))


def test_damaged_numbers_are_refused(prefix):
    content = bytearray(data_of(prefix).read_bytes())
    entry = TensorBundle(prefix).entries["conv2d/kernel"]
    content[entry.offset + 17] ^= 1
    data_of(prefix).write_bytes(content)
    with pytest.raises(CheckpointError, match="numbers of conv2d/kernel do not have their checksum"):
        TensorBundle(prefix).read("conv2d/kernel", (5, 5, 2, 3))


def test_every_changed_bit_of_the_index_is_noticed_or_harmless(prefix):
    whole = TensorBundle(prefix).entries
    original = index_of(prefix).read_bytes()
    for position in range(len(original)):
        content = bytearray(original)
        content[position] ^= 0x10
        index_of(prefix).write_bytes(content)
        try:
            entries = TensorBundle(prefix).entries
        except CheckpointError:
            continue
        assert entries == whole  # the padding of the footer, or the block that nobody reads


@pytest.mark.parametrize("kept", [0, 10, 47, 48, 200])
def test_a_truncated_index_is_refused(prefix, kept):
    index_of(prefix).write_bytes(index_of(prefix).read_bytes()[:kept])
    refuses(prefix, "end is not that of an index")


def test_truncated_data_are_refused(prefix):
    data_of(prefix).write_bytes(data_of(prefix).read_bytes()[:-1])
    refuses(prefix, "but the data file ends at")


def test_compressed_blocks_are_refused_with_a_sentence(prefix):
    index_of(prefix).write_bytes(table([[(b"", HEADER)]], compression=1))
    refuses(prefix, r"compressed \(method 1\): not supported")


@pytest.mark.parametrize(
    ("header", "words"),
    [(number(1, 2), "more than one data file"), (number(1, 1) + number(2, 1), "big-endian")],
)
def test_shards_and_big_endian_numbers_are_refused(prefix, header, words):
    index_of(prefix).write_bytes(table([[(b"", header)]]))
    refuses(prefix, words)


def test_an_index_without_a_header_is_refused(prefix):
    index_of(prefix).write_bytes(table([[(b"a", bundle_entry(1, (1,), 0, b"abcd"))]]))
    refuses(prefix, "no header")


def test_an_index_that_is_too_large_is_not_read(prefix):
    with index_of(prefix).open("r+b") as file:
        file.truncate(MAX_INDEX_BYTES + 1)
    refuses(prefix, "more than the")


def test_too_many_entries_are_refused(prefix):
    empty = bundle_entry(1, (0,), 0, b"")
    entries = [(b"%08d" % i, empty) for i in range(MAX_ENTRIES + 1)]
    index_of(prefix).write_bytes(table([[(b"", HEADER), *entries]]))
    refuses(prefix, f"more than {MAX_ENTRIES} entries")


def test_one_block_named_again_and_again_is_refused_at_once(prefix):
    n_restarts = 100_000  # and no entries
    blocks = bytes(4 * n_restarts) + struct.pack("<I", n_restarts)
    tail = blocks + b"\x00"
    out = tail + struct.pack("<I", masked_crc32c(tail))
    handle = varint(0) + varint(len(blocks))
    entries = b"".join(
        varint(0) + varint(4) + varint(len(handle)) + struct.pack(">I", i) + handle for i in range(50_000)
    )
    index = entries + struct.pack("<I", 0) + b"\x00"
    position = len(out)
    out += index + struct.pack("<I", masked_crc32c(index))
    footer = (varint(0) * 2 + varint(position) + varint(len(index) - 1)).ljust(40, b"\x00")
    index_of(prefix).write_bytes(out + footer + struct.pack("<Q", MAGIC))
    begun_s = time.process_time()
    refuses(prefix, "begins before byte")
    assert time.process_time() - begun_s < 5


def test_a_shape_of_unknown_sizes_is_refused(prefix):
    entry = number(1, 1) + message(2, number(3, 1)) + number(5, 0)
    index_of(prefix).write_bytes(table([[(b"", HEADER), (b"a", entry)]]))
    refuses(prefix, "no shape of known sizes")
