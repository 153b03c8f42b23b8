"""Where the server listens, and where it will not."""

import stat

import pytest

from ugosa_server.errors import ConfigError
from ugosa_server.rpc.addresses import TcpAddress, UnixAddress, check_reach, claim_socket, parse_address


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
    address = parse_address(text)
    assert address.target == target
    check_reach(address, has_tls=False, knows_callers=False)


@pytest.mark.parametrize("text", ["0.0.0.0:50051", "[::]:50051", "192.168.1.5:50051", "studio.example:50051"])
def test_anything_wider_is_refused_with_a_way_out(text):
    address = parse_address(text)
    for has_tls, knows_callers in ((False, False), (False, True), (True, False)):
        with pytest.raises(ConfigError, match="SSH tunnel"):
            check_reach(address, has_tls=has_tls, knows_callers=knows_callers)
    check_reach(address, has_tls=True, knows_callers=True)


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


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_in_which_others_could_replace_the_socket_is_refused(tmp_path, mode):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=f"{mode:04o}.*chmod 700"):
        claim_socket(UnixAddress(folder / "u.sock"))
    folder.chmod(mode | stat.S_ISVTX)  # as /tmp: others may make files, but not touch this one
    claim_socket(UnixAddress(folder / "u.sock")).close()
