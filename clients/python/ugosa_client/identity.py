"""Identity of this client to a server on another machine, and of that server to it."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from ugosa_client.address import expanded
from ugosa_client.errors import BadInputError, reason_of


@dataclass(frozen=True)
class Identity:
    """Credentials for a server on another machine; none are needed on this one."""

    token: str | None = None
    """Token of `ugosa-server token create`; None = `$UGOSA_TOKEN`, if that is set."""
    ca_file: str | Path | None = None
    """PEM file of the server's authority; None = `$UGOSA_CA`, or the public authorities."""
    certificate_file: str | Path | None = None
    """PEM file of this client's certificate, where the server asks for one."""
    key_file: str | Path | None = None


def open_channel(
    address: str,
    identity: Identity,
    credentials: grpc.ChannelCredentials | None,
    options: list[tuple[str, Any]],
) -> grpc.Channel:
    """Open a channel: plain on this machine (unless an authority is named), else TLS.

    Raises:
        BadInputError: a file is unreadable, or a certificate lacks its key.
    """
    if _is_loopback(address):
        options = [*options, ("grpc.enable_http_proxy", 0)]  # a proxy of the net has a loopback of its own
    ca_file = identity.ca_file or os.environ.get("UGOSA_CA") or None
    if credentials is None and not address.startswith("unix:") and (ca_file or not _is_loopback(address)):
        if (identity.certificate_file is None) != (identity.key_file is None):
            raise BadInputError("a client certificate needs its key and a key its certificate: give both")
        credentials = grpc.ssl_channel_credentials(
            _read(ca_file), _read(identity.key_file), _read(identity.certificate_file)
        )
    if credentials is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, credentials, options)


def call_metadata(identity: Identity) -> tuple[tuple[str, str], ...] | None:
    """Return what every call says of its caller: the token, if there is one.

    Raises:
        BadInputError: the token cannot be one.
    """
    token = identity.token or os.environ.get("UGOSA_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise BadInputError("the token has other characters than a token; give the one line that was printed")
    return (("authorization", f"Bearer {token}"),) if token else None


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return expanded(path).read_bytes()
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {reason_of(error)}") from error


def read_token(path: str | Path) -> str:
    """Return the token that a file holds.

    Raises:
        BadInputError: the file is unreadable or empty.
    """
    token = (_read(path) or b"").decode(errors="replace").strip()
    if not token:
        raise BadInputError(f"{path} holds no token; `ugosa-server token create` prints one")
    return token
