"""Addresses that the server listens on, and those that it refuses."""

import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ugosa_server.addresses import (
    TcpAddress,
    TlsFiles,
    UnixAddress,
    checked_addresses,
    claim_socket,
    loopback_ip,
    parse_address,
)
from ugosa_server.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("127.3.2.1:0", "127.3.2.1:0"),
        ("localhost:50051", "localhost:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("unix:/run/ugosa dir/é.sock", "unix:/run/ugosa dir/é.sock"),
    ],
)
def test_address_of_this_machine_needs_no_tls(text, target):
    (address,) = checked_addresses([text], None, has_tokens=False)
    assert address.target == target


@pytest.mark.parametrize("text", ["0.0.0.0:50051", "[::]:50051", "192.168.1.5:50051", "studio.example:50051"])
def test_wider_address_without_tls_and_identities_is_refused(text):
    tls = TlsFiles(Path("cert.pem"), Path("key.pem"))
    for files, has_tokens in ((None, False), (None, True), (tls, False)):
        with pytest.raises(ConfigError, match="SSH tunnel"):
            checked_addresses([text], files, has_tokens=has_tokens)
    assert checked_addresses([text], tls, has_tokens=True)
    assert checked_addresses([text], replace(tls, client_ca=Path("ca.pem")), has_tokens=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_host_has_a_loopback_ip(host):
    assert loopback_ip(host) in {"127.0.0.1", "127.8.8.8", "::1"}


@pytest.mark.parametrize(
    "host", ["192.168.1.5", "8.8.8.8", "0.0.0.0", "::", "", "example.com", "localhost.evil.org"]
)
def test_other_host_has_no_loopback_ip(host):
    assert loopback_ip(host) is None


@pytest.mark.parametrize(
    "text", ["50051", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536", "h:" + "9" * 5000, ""]
)
def test_text_that_is_no_address_is_refused(text):
    with pytest.raises(ConfigError):
        parse_address(text)


def test_socket_path_that_is_too_long_is_refused():
    with pytest.raises(ConfigError, match="107"):
        parse_address("unix:/" + "x" * 107)


def test_relative_socket_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse_address("unix:u.sock") == UnixAddress(tmp_path / "u.sock")
    assert isinstance(parse_address("127.0.0.1:1"), TcpAddress)


def leave_socket(path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path, kind):
    path = tmp_path / "song.wav"
    match kind:
        case "file":
            path.write_text("a song")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(ConfigError, match="is no socket, and is left alone"):
            claim_socket(UnixAddress(path))
    assert os.path.lexists(path)


def test_socket_has_one_server_and_outlives_a_crash(tmp_path):
    address = UnixAddress(tmp_path / "new folder" / "u.sock")
    with claim_socket(address):
        leave_socket(address.path)
        with pytest.raises(ConfigError, match="another ugosa-server"):
            claim_socket(address)
        assert address.path.exists()
    claim_socket(address).close()
    assert not address.path.exists()
    assert address.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_socket_in_a_folder_writable_by_others_is_refused(tmp_path, mode):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=f"{mode:04o}.*chmod 700"):
        claim_socket(UnixAddress(folder / "u.sock"))
    folder.chmod(mode | stat.S_ISVTX)  # as /tmp: others may make files, but not touch this one
    claim_socket(UnixAddress(folder / "u.sock")).close()
