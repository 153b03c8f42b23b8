"""Where the server listens, and where it will not."""

import pytest

from ugosa_server.errors import ConfigError
from ugosa_server.rpc.addresses import TcpAddress, UnixAddress, claim_socket, parse_address


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
def test_this_machine_is_fine(text, target):
    assert parse_address(text).target == target


@pytest.mark.parametrize("text", ["0.0.0.0:50051", "[::]:50051", "192.168.1.5:50051", "studio.example:50051"])
def test_anything_wider_is_refused_with_a_way_out(text):
    with pytest.raises(ConfigError, match="SSH tunnel"):
        parse_address(text)


@pytest.mark.parametrize("text", ["50051", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536", ""])
def test_what_is_no_address_is_said_to_be_none(text):
    with pytest.raises(ConfigError):
        parse_address(text)


def test_a_socket_path_the_system_cannot_bind_is_refused():
    with pytest.raises(ConfigError, match="107"):
        parse_address("unix:/" + "x" * 107)


def test_a_relative_socket_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse_address("unix:u.sock") == UnixAddress(tmp_path / "u.sock")
    assert isinstance(parse_address("127.0.0.1:1"), TcpAddress)


def test_a_socket_has_one_server_and_outlives_a_crash(tmp_path):
    address = UnixAddress(tmp_path / "new folder" / "u.sock")
    with claim_socket(address):
        address.path.touch()
        with pytest.raises(ConfigError, match="another ugosa-server"):
            claim_socket(address)
        assert address.path.exists()
    claim_socket(address).close()
    assert not address.path.exists()
    assert address.path.parent.stat().st_mode & 0o777 == 0o700
