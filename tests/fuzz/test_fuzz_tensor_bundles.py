"""Any files given as a TensorFlow checkpoint are read or refused as one."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.mutations import hostile
from tests.helpers.tensor_bundles import HEADER, bundle_entry, table, write_bundle
from ugosa_server.errors import CheckpointError
from ugosa_server.models.spleeter.tensor_bundle import MAGIC, TensorBundle

TENSORS = {f"layer_{i}/kernel": np.arange(i + 1, dtype=np.float32) for i in range(8)}
ENTRY = bundle_entry(1, (3, 5), 4, bytes(60))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("bundles") / "model"
    write_bundle(prefix, TENSORS)
    return prefix


def read_or_refuse(prefix):
    try:
        bundle = TensorBundle(prefix)
        for name, entry in bundle.entries.items():
            bundle.read(name, entry.shape)
    except CheckpointError as error:
        assert prefix.name in str(error)


@given(data=st.data())
def test_any_index_is_read_or_refused(prefix, data):
    index = prefix.with_name("model.index")
    write_bundle(prefix, TENSORS)
    damaged = data.draw(hostile([index.read_bytes()]))
    if data.draw(st.booleans()):
        damaged = damaged[:-8] + struct.pack("<Q", MAGIC)
    index.write_bytes(damaged)
    read_or_refuse(prefix)


@given(
    values=st.lists(hostile([ENTRY, HEADER]), min_size=1, max_size=4),
    header=hostile([HEADER]) | st.just(HEADER),
)
def test_any_entries_behind_right_checksums_are_read_or_refused(prefix, values, header):
    entries = [(b"", header), *((b"k%d" % i, value) for i, value in enumerate(values))]
    prefix.with_name("model.index").write_bytes(table([entries]))
    read_or_refuse(prefix)


@given(data=st.data())
def test_any_numbers_are_read_or_refused(prefix, data):
    write_bundle(prefix, TENSORS)
    numbers = prefix.with_name("model.data-00000-of-00001")
    numbers.write_bytes(data.draw(hostile([numbers.read_bytes()])))
    read_or_refuse(prefix)
