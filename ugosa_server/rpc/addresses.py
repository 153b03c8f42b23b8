"""Where the server may listen: a Unix socket of its user, loopback, and more only with TLS and identities.

TLS for the addresses that other machines can reach.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import grpc

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
    """A TCP port."""

    host: str
    """An IP address or a name."""
    port: int
    """0 = any free one."""

    @property
    def target(self) -> str:
        """What gRPC binds."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.host)


def parse_address(text: str) -> UnixAddress | TcpAddress:
    """Read "unix:PATH" or "HOST:PORT".

    Raises:
        ConfigError: it is neither.
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
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"cannot listen on {text!r}: write unix:PATH or HOST:PORT")
    return TcpAddress(host, int(port))


def check_reach(address: UnixAddress | TcpAddress, *, has_tls: bool, knows_callers: bool) -> None:
    """Make sure that an address which other machines can reach is encrypted and knows who calls.

    Raises:
        ConfigError: it would not be; the message names what is missing.
    """
    if isinstance(address, UnixAddress) or address.is_loopback:
        return
    if not has_tls:
        missing = "there is no TLS: set tls_cert and tls_key, and give every user a token or a certificate"
    elif not knows_callers:
        missing = (
            "nobody could call: make a token with `ugosa-server token create --principal NAME`, or set"
            " tls_client_ca"
        )
    else:
        return
    raise ConfigError(
        f"will not listen on {address.target}: other machines could reach it, and {missing}. Or listen on"
        " 127.0.0.1 and use an SSH tunnel: ssh -L 50051:127.0.0.1:50051 THIS_MACHINE"
    )


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
        ConfigError: another server listens there, or the folder is not safe from other users.
    """
    folder = address.path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(folder)
        lock = lock_file(address.path.with_name(address.path.name + ".lock"), f"the socket {address.path}")
        address.path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the socket {address.path}: {error}") from error
    return lock


def _check_folder(folder: Path) -> None:
    """Whoever can rename files in the socket's folder can put their own socket there."""
    status = folder.stat()
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    if writable_by_others or status.st_uid not in (0, os.getuid()):
        raise ConfigError(
            f"the folder {folder} of the socket has mode {stat.S_IMODE(status.st_mode):04o} and owner"
            f" {status.st_uid}: others could replace the socket. Choose another one, or make it yours alone"
            f" (chmod 700 {folder})"
        )


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; read once, at the start."""

    certificate: Path
    """The server's certificate, with its chain."""
    key: Path
    """The certificate's private key."""
    client_ca: Path | None = None
    """Who issues the certificates of clients. Set: a client without one is not let in. None: not asked."""


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
    return TlsFiles(
        Path(certificate).expanduser(),
        Path(key).expanduser(),
        Path(client_ca).expanduser() if client_ca else None,
    )


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return what gRPC needs to speak TLS.

    Raises:
        ConfigError: a file is unreadable, or key and certificate do not belong together. gRPC would say so
            only by failing every handshake.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        client_ca = files.client_ca.read_bytes() if files.client_ca else None
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca.decode())
        pair = (files.key.read_bytes(), files.certificate.read_bytes())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = ", ".join(str(path) for path in (files.certificate, files.key, files.client_ca) if path)
        raise ConfigError(f"TLS cannot be set up with {named}: {error}") from error
    return grpc.ssl_server_credentials(
        [pair], root_certificates=client_ca, require_client_auth=client_ca is not None
    )
