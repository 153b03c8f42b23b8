"""`ugosa-server backup DIR`: a copy of the state directory, made while the server runs.

The database is copied first, at one moment, and then the folders that it counts on. Files of songs that have
arrived and of jobs that have ended never change, so they fit the copied rows, unless something was deleted
or arrived meanwhile: then the database is copied again, and what is new. It gets its name last, without which
no server takes the copy for a state directory.
"""

from __future__ import annotations

import argparse
import os
import shutil
from contextlib import suppress
from pathlib import Path
from shlex import quote

from ugosa_server.config import load_config
from ugosa_server.errors import ConfigError, DiskFullError
from ugosa_server.files import disk_full_explained, expanded, make_state_dir, publish, tmp_path_of
from ugosa_server.jobs.retention import require_database
from ugosa_server.jobs.spool import SPOOL_FOLDERS
from ugosa_server.jobs.store import STORE_FILE_NAME, Store, copy_database, folders_of

UNFINISHED = "*.tmp"


def add_backup_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `backup`."""
    parser = commands.add_parser("backup", help="copy the state directory, beside a running server or not")
    parser.add_argument("target", type=Path, metavar="DIR", help="a new or empty folder for the copy")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of the server")
    parser.add_argument("--state-dir", metavar="DIR", help="state directory of the server")
    parser.set_defaults(run=_backup)


def _backup(options: argparse.Namespace) -> int:
    config = load_config(options.config, {"state_dir": options.state_dir})
    n_folders = back_up(expanded(config.state_dir), options.target)
    print(
        f"{options.target} has the database, and songs and stems (folders: {n_folders}); "
        f"`ugosa-server serve --state-dir {quote(str(options.target))}` starts on it"
    )
    return 0


def back_up(state_dir: Path, target: Path) -> int:
    """Copy a state directory that may be in use; return the number of folders of songs and jobs.

    Raises:
        ConfigError: there is no database, or none that this server can start on; or the target is not empty
            or lies in the state directory.
        DiskFullError: there is no room.
    """
    require_database(state_dir)
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(state_dir)):
        raise ConfigError(f"{target} lies in the state directory {state_dir}; name a folder elsewhere")
    if target.is_dir() and any(target.iterdir()):
        raise ConfigError(f"{target} is not empty; name a new or an empty folder")
    Store(state_dir / STORE_FILE_NAME, read_only=True).close()  # it says what is wrong with a damaged one
    copy = make_state_dir(str(target))
    try:
        with disk_full_explained():
            return _copy(state_dir, copy)
    except DiskFullError as error:
        raise DiskFullError(
            f"{copy} cannot be written whole: its disk is full, or fails; make room there, delete it, and try"
            " again"
        ) from error


def _copy(state_dir: Path, copy: Path) -> int:
    database, unfinished = state_dir / STORE_FILE_NAME, tmp_path_of(copy / STORE_FILE_NAME)
    for name in SPOOL_FOLDERS:
        (copy / name).mkdir(mode=0o700)
    copied: frozenset[tuple[str, str]] = frozenset()
    while True:
        copy_database(database, unfinished)
        unfinished.chmod(0o600)
        wanted = folders_of(unfinished)
        for folder, _ in copied - wanted:
            shutil.rmtree(copy / folder, ignore_errors=True)
        for folder, _ in wanted - copied:
            _copy_folder(state_dir / folder, copy / folder)
        copied = wanted
        if wanted <= folders_of(database):  # nothing has gone, nothing has become something else
            break
    publish(unfinished, copy / STORE_FILE_NAME)
    return sum((copy / folder).is_dir() for folder, _ in copied)


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, as far as nobody deletes it meanwhile."""
    paths = [source]
    with suppress(FileNotFoundError):
        paths += source.rglob("*")
    for path in paths:
        if path.match(UNFINISHED):
            continue
        place = target / path.relative_to(source)
        with suppress(FileNotFoundError):
            if path.is_dir():
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            else:
                shutil.copyfile(path, place)
                place.chmod(0o600)
