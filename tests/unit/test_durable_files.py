"""A file is the old one or the whole new one."""

import pytest

from ugosa_server.files import replacing


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "stem.wav"
    with replacing(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"old")

    def write_half():
        with replacing(path) as stream:
            stream.write(b"half")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
