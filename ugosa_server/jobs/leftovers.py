"""Folders that the store does not know, found when a server starts.

A folder is removed only where the store proves that it may go: its row was deleted, or its job has ended.
That there is no row proves nothing, since the database may be new, or older than the songs beside it.
"""

from __future__ import annotations

import logging
import re
import stat
from pathlib import Path

from ugosa_server.errors import ConfigError
from ugosa_server.jobs.spool import SPOOL_FOLDERS, Spool
from ugosa_server.jobs.store import STORE_FILE_NAME, AsyncStore

ID_PATTERN = re.compile(r"(upload|job)-[0-9a-f]{16}")
# Made here before the database, or by the system; what is hidden is nobody's song.
NAMES_BEFORE_STORE = re.compile(
    r"lock|.*\.lock|server\.log|ballast|ray-token|lost\+found|\..*|" + "|".join(SPOOL_FOLDERS)
)
EXAMPLES = 3

log = logging.getLogger(__name__)


def check_state_dir(state_dir: Path) -> None:
    """Refuse a folder that belongs to something else, or that has lost its database.

    Raises:
        ConfigError: there is no database, but something else.
    """
    if (state_dir / STORE_FILE_NAME).exists():
        return
    foreign = [
        path
        for path in state_dir.iterdir()
        if not NAMES_BEFORE_STORE.fullmatch(path.name) and not stat.S_ISSOCK(path.lstat().st_mode)
    ]
    in_spool = [path for name in SPOOL_FOLDERS for path in _entries(state_dir / name)]
    foreign += [path for path in in_spool if not ID_PATTERN.fullmatch(path.name)]
    if foreign:
        raise ConfigError(
            f"the folder {state_dir} is not empty ({_examples(foreign)}) and has no {STORE_FILE_NAME}, so it"
            " is no state directory of ugosa-server; choose an empty or a new one with --state-dir"
        )


async def remove_leftovers(store: AsyncStore, spool: Spool, *, move_unknown: bool) -> None:
    """Remove what a crash left of deleted uploads and jobs, before a server begins to work.

    Args:
        store: of this state directory.
        spool: its folders.
        move_unknown: move folders that the store has never known to `lost+found`.

    Raises:
        ConfigError: there are such folders, with something in them, and they are not to be moved.
    """
    known = {
        "uploads": await store(lambda s: s.uploads.all_ids()),
        "jobs": await store(lambda s: s.jobs.all_ids()),
        "checkpoints": await store(lambda s: s.jobs.unfinished_ids()),
    }
    deleted = await store(lambda s: s.deletions.ids()) | (known["jobs"] - known["checkpoints"])
    left = [
        path
        for name, ids in known.items()
        for path in _entries(spool.state_dir / name)
        if ID_PATTERN.fullmatch(path.name) and path.name not in ids
    ]
    unknown = [path for path in left if path.name not in deleted and _holds_anything(path)]
    if unknown and not move_unknown:
        raise ConfigError(
            f"the database {spool.state_dir / STORE_FILE_NAME} does not know {len(unknown)} folders"
            f" of songs and stems beside it ({_examples(unknown)}): it is new, or older than they are. Put"
            f" back its newest copy; or start with --move-unknown, which moves them to {spool.lost_and_found}"
        )
    for path in left:
        if path in unknown:
            log.warning("%s is not in the database; moved to %s", path, spool.set_aside(path))
        else:
            log.info("%s was left of something deleted; removed", path)
            spool.remove(path)
    await store(lambda s: s.deletions.clear())


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _holds_anything(path: Path) -> bool:
    """Return whether there is a byte in a file, or anything but files and folders."""
    within = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return any(not stat.S_ISDIR(each.lstat().st_mode) and each.lstat().st_size > 0 for each in within)


def _examples(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:EXAMPLES])
    return names + (", ..." if len(paths) > EXAMPLES else "")
