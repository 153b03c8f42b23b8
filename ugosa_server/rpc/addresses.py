"""Where the server may listen: a Unix socket of its user, or loopback. Anything wider is refused."""

from __future__ import annotations

import fcntl
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ugosa_server.errors import ConfigError

MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un of Linux, less its final zero


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket."""

    path: Path
    """Absolute."""

    @property
    def target(self) -> str:
        """What gRPC binds."""
        return f"unix:{self.path}"


@dataclass(frozen=True)
class TcpAddress:
    """A loopback TCP port."""

    host: str
    """An IP address, or "localhost"."""
    port: int
    """0 = any free one."""

    @property
    def target(self) -> str:
        """What gRPC binds."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> UnixAddress | TcpAddress:
    """Read "unix:PATH" or "HOST:PORT".

    Raises:
        ConfigError: it is neither, or would be reachable from other machines.
    """
    if text.startswith("unix:"):
        path = Path(os.path.abspath(Path(text.removeprefix("unix:")).expanduser()))
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise ConfigError(
                f"the socket path {path} has {len(os.fsencode(path))} bytes; the system allows"
                f" {MAX_SOCKET_PATH_BYTES}: choose a shorter one with --listen unix:PATH"
            )
        return UnixAddress(path)
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"cannot listen on {text!r}: write unix:PATH or HOST:PORT")
    if not _is_loopback(host):
        raise ConfigError(
            f"will not listen on {text!r}: other machines could reach it, and there is no TLS and no token"
            " yet. Listen on 127.0.0.1 and use an SSH tunnel: ssh -L 50051:127.0.0.1:50051 THIS_MACHINE"
        )
    return TcpAddress(host, int(port))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def lock_file(path: Path, what: str) -> IO[str]:
    """Take an exclusive lock that ends with this process.

    Raises:
        ConfigError: another server has it.
    """
    stream = path.open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise ConfigError(f"another ugosa-server uses {what}; stop it first or choose another") from error
    return stream


def claim_socket(address: UnixAddress) -> IO[str]:
    """Make the socket's folder, lock the socket against other servers, and remove one that a crash left.

    gRPC would silently take a socket away from a server that is using it.

    Raises:
        ConfigError: another server listens there.
    """
    address.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_file(address.path.with_name(address.path.name + ".lock"), f"the socket {address.path}")
    address.path.unlink(missing_ok=True)
    return lock
