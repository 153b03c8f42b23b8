"""A file is the old one or the whole new one; the state directory is this user's alone, or refused."""

import hashlib
import os
import stat

import pytest

from ugosa_server.cli import main
from ugosa_server.errors import ConfigError
from ugosa_server.files import make_state_dir, replacing, sha256_of_file


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


def test_sha256_is_of_all_bytes_of_a_file(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"abc" * 1_000_000)
    assert sha256_of_file(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_state_directory_is_made_for_this_user_alone(tmp_path):
    path = make_state_dir(str(tmp_path / "a" / "b"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert make_state_dir(str(path)) == path


@pytest.mark.parametrize("command", [["serve"], ["token", "create", "--principal", "anna"]])
def test_a_state_directory_that_cannot_be_made_is_named(tmp_path, capsys, command):
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        assert main([*command, "--state-dir", str(path)]) == 2
        assert f"{path}: " in (said := capsys.readouterr().err)
        assert "choose another with --state-dir" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_directory_of_somebody_else_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="may not write"):
        make_state_dir(str(tmp_path))


def test_a_store_that_is_none_is_named_with_the_way_out(tmp_path, capsys):
    (tmp_path / "ugosa.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    assert main(["token", "list", "--state-dir", str(tmp_path)]) == 2
    assert "cannot open the store" in capsys.readouterr().err
