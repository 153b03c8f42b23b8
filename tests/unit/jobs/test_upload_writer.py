"""Bytes of an upload: in order, checked, durable before they are acknowledged."""

import hashlib
import resource

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.errors import BadOptionError, CrcMismatchError, OffsetMismatchError, Sha256MismatchError
from ugosa_server.jobs.upload_writer import MAX_CHUNK_BYTES, UploadWriter


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bytes"


def append(writer, data):
    writer.append(writer.size, data, google_crc32c.value(data))


def test_a_chunk_at_another_offset_is_refused_with_the_right_one(path):
    writer = UploadWriter(path, 0)
    append(writer, b"abcd")
    writer.sync()
    for offset in (0, 3, 5):
        with pytest.raises(OffsetMismatchError, match="byte 4 is next") as error:
            writer.append(offset, b"x", None)
        assert error.value.metadata["committed_size"] == "4"
    assert path.read_bytes() == b"abcd"
    writer.close()


def test_nothing_of_a_corrupt_chunk_is_kept(path):
    writer = UploadWriter(path, 0)
    append(writer, b"abcd")
    with pytest.raises(CrcMismatchError, match="byte 4"):
        writer.append(4, b"efgh", google_crc32c.value(b"efgX"))
    with pytest.raises(CrcMismatchError, match="not 0x00000000; state the CRC-32C"):
        writer.append(4, b"efgh", 0)
    append(writer, b"efgh")
    assert writer.verify(8, hashlib.sha256(b"abcdefgh").hexdigest())
    writer.close()
    assert path.read_bytes() == b"abcdefgh"


def test_a_chunk_too_large_for_memory_is_refused(path):
    writer = UploadWriter(path, 0)
    with pytest.raises(BadOptionError, match=str(MAX_CHUNK_BYTES)):
        writer.append(0, bytes(MAX_CHUNK_BYTES + 1), None)
    writer.close()


def test_unacknowledged_bytes_are_dropped_on_reopening(path):
    writer = UploadWriter(path, 0)
    append(writer, b"abcdefgh")
    writer.close()
    writer = UploadWriter(path, 4)
    assert (writer.size, path.read_bytes()) == (4, b"abcd")
    writer.close()


def test_a_chunk_that_the_disk_takes_in_part_is_refused(path):
    """A limit on the file's size stands for a full disk: both take what fits of a write, no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = UploadWriter(path, 0)
    append(writer, b"abcd")
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            append(writer, b"efgh")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert writer.sync() == 4
    writer.close()


def test_missing_bytes_and_wrong_bytes_are_different_errors(path):
    writer = UploadWriter(path, 0)
    append(writer, b"abcd")
    with pytest.raises(OffsetMismatchError, match="finish says 5 bytes, but 4 have arrived"):
        writer.verify(5, "")
    with pytest.raises(Sha256MismatchError):
        writer.verify(4, "00" * 32)
    assert writer.verify(4, "") == hashlib.sha256(b"abcd").hexdigest()
    writer.close()


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8), data=st.data())
def test_an_upload_resumed_at_any_break_is_byte_exact(tmp_path_factory, pieces, data):
    path = tmp_path_factory.mktemp("upload") / "bytes"
    whole = b"".join(pieces)
    committed = 0
    for break_at in sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=3))):
        writer = UploadWriter(path, committed)
        if break_at > committed:
            append(writer, whole[committed:break_at])
            committed = writer.sync()
        writer.close()
    writer = UploadWriter(path, committed)
    append(writer, whole[committed:])
    assert writer.verify(len(whole), hashlib.sha256(whole).hexdigest())
    writer.close()
    assert path.read_bytes() == whole
