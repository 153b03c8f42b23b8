"""Addresses of servers: the default one, and any other as gRPC wants it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ugosa_client.errors import BadInputError

PORT = re.compile("[0-9]{1,5}")
MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107  # sizeof(sun_path) - 1, see unix(7)


def is_server_named() -> bool:
    """Return whether the environment names a server, by UGOSA_SERVER."""
    return bool(os.environ.get("UGOSA_SERVER", "").strip())


def default_target() -> str:
    """Return the default address of a server on this machine.

    In this order: the environment variable UGOSA_SERVER; `unix:$XDG_RUNTIME_DIR/ugosa/ugosa.sock`;
    `unix:$XDG_STATE_HOME/ugosa/ugosa.sock`, where XDG_STATE_HOME is `~/.local/state` unless set. It is the
    rule of `ugosa-server serve`.
    """
    named = os.environ.get("UGOSA_SERVER", "").strip()
    if named:
        return named
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    if runtime_dir:
        return f"unix:{Path(runtime_dir) / 'ugosa' / 'ugosa.sock'}"
    return f"unix:{default_state_home() / 'ugosa' / 'ugosa.sock'}"


def default_state_home() -> Path:
    """Return XDG_STATE_HOME, which is `~/.local/state` unless set.

    Raises:
        BadInputError: this user has no home directory.
    """
    if state_home := os.environ.get("XDG_STATE_HOME"):
        return Path(state_home)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:  # a user without an entry in /etc/passwd, as in containers
        raise BadInputError(
            "this user has no home directory; name the server with --server or UGOSA_SERVER, or set HOME"
        ) from None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path in which `~` stands for a home directory.

    Raises:
        BadInputError: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadInputError(
            f"there is no home directory for the ~ of {os.fspath(path)}; write the whole path"
        ) from None


def grpc_target(target: str) -> str:
    """Return the address as gRPC wants it; check what gRPC reports badly or not at all.

    A Unix socket may have spaces and letters of any script in its path; `?` and `#` would end the path of
    gRPC's URI, so they are escaped.

    Raises:
        BadInputError: the address is not of a known form, or its socket path is too long for the system.
    """
    if not target.startswith("unix:"):
        host, colon, port = target.rpartition(":")
        if not (colon and host and PORT.fullmatch(port) and int(port) <= 65535):
            raise BadInputError(
                f"{target!r} is not an address of a server; write unix:/path/to/ugosa.sock or host:port"
            )
        return target
    path = target.removeprefix("unix:")
    if path.startswith("//"):
        path = path.removeprefix("//")
    if not path:
        raise BadInputError(f"{target!r} names no socket; write unix:/path/to/ugosa.sock")
    path = os.path.abspath(expanded(path))
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise BadInputError(
            f"the socket path {path} has {size} bytes, but the system takes at most {MAX_SOCKET_PATH_BYTES}; "
            "start the server with a shorter --listen unix:PATH, or with a shorter XDG_RUNTIME_DIR"
        )
    return "unix:" + path.replace("?", "%3F").replace("#", "%23")
