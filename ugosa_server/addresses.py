"""Addresses of the server: a Unix socket of its user, loopback, and others only with TLS and identities."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ugosa_server.errors import ConfigError, reason_of
from ugosa_server.files import expanded

PORT = re.compile("[0-9]{1,5}")
MAX_PORT = 65535
MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un of Linux, less its final zero


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket."""

    path: Path
    """Absolute."""

    @property
    def target(self) -> str:
        """Return the address as gRPC writes it."""
        return f"unix:{self.path}"

    @property
    def lock_path(self) -> Path:
        """Return the file that the server which has the socket locks."""
        return self.path.with_name(f"{self.path.name}.lock")


@dataclass(frozen=True)
class TcpAddress:
    """A TCP port."""

    host: str
    """An IP address or a name."""
    port: int
    """0 = any free one."""

    @property
    def target(self) -> str:
        """Return the address as gRPC writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return loopback_ip(self.host) is not None


def split_host_port(text: str) -> tuple[str, int] | None:
    """Return the host and the port of "HOST:PORT", without the brackets of IPv6; None if it is none."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not PORT.fullmatch(port) or int(port) > MAX_PORT:
        return None
    return host, int(port)


def loopback_ip(host: str) -> str | None:
    """Return the IP address of `localhost` or a loopback address; None for every other host.

    Names are never looked up: a resolver could be slow, and could be made to answer with another machine.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return str(address) if address.is_loopback else None


def parse_address(text: str) -> UnixAddress | TcpAddress:
    """Read "unix:PATH" or "HOST:PORT".

    Raises:
        ConfigError: it is neither.
    """
    if text.startswith("unix:"):
        path = Path(os.path.abspath(expanded(text.removeprefix("unix:"))))
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise ConfigError(
                f"the socket path {path} has {len(os.fsencode(path))} bytes; the system allows"
                f" {MAX_SOCKET_PATH_BYTES}: choose a shorter one with --listen unix:PATH"
            )
        return UnixAddress(path)
    found = split_host_port(text)
    if found is None:
        raise ConfigError(f"cannot listen on {text!r}: write unix:PATH or HOST:PORT")
    return TcpAddress(*found)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; read once, at the start."""

    certificate: Path
    """The server's certificate, with its chain."""
    key: Path
    client_ca: Path | None = None
    """Issuer of clients' certificates. Set: a client without one is not let in. None: not asked."""


def tls_files(certificate: str, key: str, client_ca: str) -> TlsFiles | None:
    """Return the files that the configuration names; None when it names none.

    Raises:
        ConfigError: one is named without the other that it needs.
    """
    if not (certificate or key or client_ca):
        return None
    if not (certificate and key):
        missing = "tls_key" if certificate else "tls_cert"
        raise ConfigError(f"TLS needs a certificate and its key, but {missing} is not set")
    return TlsFiles(expanded(certificate), expanded(key), expanded(client_ca) if client_ca else None)


def checked_addresses(
    texts: Iterable[str], tls: TlsFiles | None, *, has_tokens: bool
) -> list[UnixAddress | TcpAddress]:
    """Read addresses; one that other machines can reach must be encrypted and know who calls.

    Raises:
        ConfigError: a text is no address, or other machines could reach it so; the message names what is
            missing.
    """
    addresses = [parse_address(text) for text in texts]
    for address in addresses:
        if isinstance(address, UnixAddress) or address.is_loopback:
            continue
        if tls is None:
            missing = (
                "there is no TLS: set tls_cert and tls_key, and give every user a token or a certificate"
            )
        elif tls.client_ca is None and not has_tokens:
            missing = (
                "nobody could call: make a token with `ugosa-server token create --principal NAME`, or set"
                " tls_client_ca"
            )
        else:
            continue
        raise ConfigError(
            f"will not listen on {address.target}: other machines could reach it, and {missing}. Or listen on"
            " 127.0.0.1 and use an SSH tunnel: ssh -L 50051:127.0.0.1:50051 THIS_MACHINE"
        )
    return addresses


def lock_file(path: Path, what: str) -> IO[str]:
    """Take an exclusive lock that ends with this process.

    Raises:
        ConfigError: another server has it.
    """
    try:
        stream = path.open("a+")
    except OSError as error:
        raise ConfigError(
            f"cannot lock {path}: {reason_of(error)}; move away what is in its place"
        ) from error
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
        ConfigError: another server listens there, something else than a socket lies there, or the folder is
            not safe from other users.
    """
    folder = address.path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(folder)
        lock = lock_file(address.lock_path, f"the socket {address.path}")
        if os.path.lexists(address.path) and not stat.S_ISSOCK(address.path.lstat().st_mode):
            lock.close()
            raise ConfigError(
                f"{address.path} is no socket, and is left alone; choose another with --listen unix:PATH"
            )
        address.path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the socket {address.path}: {reason_of(error)}") from error
    return lock


def _check_folder(folder: Path) -> None:
    """Refuse a folder in which other users could put a socket of their own."""
    status = folder.stat()
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    if writable_by_others or status.st_uid not in (0, os.getuid()):
        raise ConfigError(
            f"the folder {folder} of the socket has mode {stat.S_IMODE(status.st_mode):04o} and owner"
            f" {status.st_uid}: others could replace the socket. Choose another one, or make it yours alone"
            f" (chmod 700 {folder})"
        )
