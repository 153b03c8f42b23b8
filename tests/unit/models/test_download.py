"""A download is the right file, whole, or it is not there; what broke off is continued."""

import hashlib
import subprocess

import pytest

from tests.helpers.file_server import file_server
from ugosa_server.errors import CheckpointError, DownloadError
from ugosa_server.models.download import download, is_safe

CONTENT = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with file_server(weights=CONTENT) as server:
        yield server


def fetch(server, tmp_path, sha256=SHA256[:8], name="weights"):
    path = tmp_path / "weights.th"
    return path, list(download(f"{server.url}/{name}", path, sha256))


def test_progress_grows_to_the_whole_file(server, tmp_path):
    path, progress = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT
    done = [state.bytes_done for state in progress]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, len(CONTENT))
    assert {state.bytes_total for state in progress} == {len(CONTENT)}
    assert [file.name for file in tmp_path.iterdir()] == ["weights.th"]


def test_a_broken_download_is_continued_with_a_range(server, tmp_path):
    server.bytes_before_cut = 300_000
    with pytest.raises(DownloadError, match=r"after 300000 of 1024000 bytes.*try again to continue"):
        fetch(server, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.th.part"]
    path, progress = fetch(server, tmp_path)
    assert server.requests == [("/weights", None), ("/weights", "bytes=300000-")]
    assert progress[0].bytes_done == 300_000
    assert path.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_sends_it_all_again(server, tmp_path):
    server.bytes_before_cut, server.knows_ranges = 300_000, False
    with pytest.raises(DownloadError):
        fetch(server, tmp_path)
    path, progress = fetch(server, tmp_path)
    assert progress[0].bytes_done == 0
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(server, tmp_path):
    (tmp_path / "weights.th.part").write_bytes(CONTENT)
    path, progress = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert progress == []


def test_another_file_is_deleted_and_the_next_try_starts_afresh(server, tmp_path):
    right = server.files["/weights"]
    server.files["/weights"] = CONTENT[:-1] + b"x"
    with pytest.raises(CheckpointError, match=rf"has sha256 [0-9a-f]{{64}}, expected {SHA256[:8]}.*deleted"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.files["/weights"] = right
    assert fetch(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_part_of_another_file_never_becomes_the_result(server, tmp_path):
    (tmp_path / "weights.th.part").write_bytes(b"other" * 1000)
    with pytest.raises(CheckpointError, match="expected"):
        fetch(server, tmp_path)
    assert fetch(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_missing_file_is_named(server, tmp_path):
    with pytest.raises(DownloadError, match=r"/absent answers 404 .*mirror"):
        fetch(server, tmp_path, name="absent")
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_keeps_the_range(server, tmp_path):
    server.redirects["/moved"] = f"{server.url}/weights"
    (tmp_path / "weights.th.part").write_bytes(CONTENT[:1000])
    assert fetch(server, tmp_path, name="moved")[0].read_bytes() == CONTENT
    assert server.requests[-1] == ("/weights", "bytes=1000-")


def test_a_file_without_an_end_is_cut_and_deleted(server, tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.models.download.MAX_BYTES", 500_000)
    with pytest.raises(DownloadError, match=r"1024000 bytes or more, .* at most 500000"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/weights", "file:///etc/passwd", "data:,weights"])
def test_only_http_is_spoken(server, tmp_path, url):
    server.redirects["/moved"] = url
    with pytest.raises(DownloadError):
        list(download(url, tmp_path / "weights.th", SHA256))
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, name="moved")


@pytest.mark.parametrize("url", ["https://a..example/w", "http://[::1/w", "/moved"])
def test_redirects_that_lead_nowhere_are_told_as_failed(server, tmp_path, url):
    server.redirects["/moved"] = url
    with pytest.raises(DownloadError, match=r"failed: |302 and leads on to nothing, or in circles; another"):
        fetch(server, tmp_path, name="moved")


def test_a_full_disk_is_no_fault_of_the_download(server, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a disk")
    try:
        with pytest.raises(DownloadError, match=r"has no room for .* free some space"):
            fetch(server, disk)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_redirect_never_leaves_https(server, tmp_path):
    server.redirects["/moved"] = "http://mirror.example/weights"
    with pytest.raises(DownloadError, match="not https"):
        fetch(server, tmp_path, name="moved")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/x", True),
        ("http://127.0.0.1:1/x", True),
        ("http://[::1]/x", True),
        ("http://a.example/x", False),
        ("http://127.0.0.1.example/", False),
        ("ftp://127.0.0.1/x", False),
        ("http://[::1/x", False),
    ],
)
def test_https_or_this_machine_is_safe(url, safe):
    assert is_safe(url) is safe


def test_no_connection_names_the_way_out(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="set https_proxy"):
        fetch(server, tmp_path)
    assert server.requests == []  # the proxy was asked, not the server
