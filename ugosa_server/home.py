"""Home directories, which not every user has: one without an entry in /etc/passwd, as in containers."""

from __future__ import annotations

from pathlib import Path

from ugosa_server.errors import ConfigError


def home_dir(way_out: str) -> Path:
    """Return this user's home directory.

    Raises:
        ConfigError: there is none; the message says the way out.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError(f"this user has no home directory; {way_out}, or set HOME") from None


def expanded(path: str | Path) -> Path:
    """Return a path in which `~` stands for a home directory.

    Raises:
        ConfigError: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"there is no home directory for the ~ of {path}; write the whole path") from None
