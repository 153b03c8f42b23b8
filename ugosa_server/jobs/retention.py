"""Removal of old songs and jobs, and of what a crash left of deleted ones.

So that the disk does not fill up, jobs are swept that ended so many days ago, with their stems and reports,
and uploads (finished or not) that were made so many days ago and that no job has needed since. A job needs
its upload until it has ended. What a job has learned, its adapter, is small and stays for longer, and the job
with it. What a user deletes goes at once and never waits for a sweep.

When a server starts, a folder that the store does not know is removed only where the store proves that it may
go: its row was deleted, or its job has ended. That there is no row proves nothing, since the database may be
new, or older than the songs beside it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
import time
from pathlib import Path

from ugosa_server.config import RetentionSettings
from ugosa_server.errors import ConfigError
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.spool import SPOOL_FOLDERS, Spool
from ugosa_server.jobs.store import STORE_FILE_NAME, AsyncStore
from ugosa_server.jobs.uploads import Uploads

SWEEP_INTERVAL_S = 3600.0

ID_PATTERN = re.compile(r"(upload|job)-[0-9a-f]{16}")
# Made here before the database, or by the system; what is hidden is nobody's song.
NAMES_BEFORE_STORE = re.compile(
    r"lock|.*\.lock|server\.log|ballast|ray-token|lost\+found|\..*|" + "|".join(SPOOL_FOLDERS)
)
EXAMPLES = 3
MOVED_PATTERN = re.compile(rf"({'|'.join(SPOOL_FOLDERS)})-(upload|job)-[0-9a-f]{{16}}(-\d+)?")  # by set_aside
LOST_DAYS = 90
LOST_SAFE_DAYS = 7  # before which nothing goes, however much it is
MAX_LOST_BYTES = 20 * 10**9
S_PER_DAY = 86_400

log = logging.getLogger(__name__)


async def sweep(
    uploads: Uploads, jobs: JobQueue, settings: RetentionSettings, now_s: float
) -> tuple[int, int]:
    """Remove what has been kept long enough at `now_s` (Unix time); return how many uploads and jobs."""
    swept_jobs = 0
    if days := settings.keep_jobs_days:
        adapter_days = settings.keep_adapters_days
        adapters_before_s = now_s - adapter_days * S_PER_DAY if adapter_days else 0.0
        swept_jobs = await jobs.sweep_ended(now_s - days * S_PER_DAY, adapters_before_s)
    days = settings.keep_uploads_days
    swept_uploads = await uploads.delete_unused(now_s - days * S_PER_DAY) if days else 0
    if swept_uploads or swept_jobs:
        log.info("swept what had been kept long enough: uploads %d, jobs %d", swept_uploads, swept_jobs)
    return swept_uploads, swept_jobs


async def believed_time_s(store: AsyncStore) -> float | None:
    """Return the Unix time, or None where the clock has jumped: see ClockTable.believe."""
    now_s = time.time()
    return now_s if await store(lambda s: s.clock.believe(now_s)) else None


async def keep_sweeping(uploads: Uploads, jobs: JobQueue, settings: RetentionSettings) -> None:
    """Sweep now and then every hour, until cancelled. A sweep that fails is logged and tried again.

    Nothing is swept by a clock that has jumped.
    """
    while True:
        try:
            if (now_s := await believed_time_s(uploads.store)) is not None:
                await sweep(uploads, jobs, settings, now_s)
                await asyncio.to_thread(remove_long_lost, uploads.spool, now_s)
            else:
                log.warning(
                    "the clock has jumped by more than a day; nothing is swept until it has proved right"
                )
        except Exception:
            log.exception("the sweep failed; it is tried again in %.0f s", SWEEP_INTERVAL_S)
        await asyncio.sleep(SWEEP_INTERVAL_S)


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


def require_database(state_dir: Path) -> None:
    """Refuse a folder that no server has worked in, for example one whose name has a slip.

    Raises:
        ConfigError: there is no database.
    """
    if not (state_dir / STORE_FILE_NAME).is_file():
        raise ConfigError(
            f"{state_dir} has no {STORE_FILE_NAME}: it is no state directory of ugosa-server; "
            "name the right one with --state-dir"
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
    deleted = await store(lambda s: s.deleted_ids()) | (known["jobs"] - known["checkpoints"])
    left = [
        path
        for name, ids in known.items()
        for path in _entries(spool.state_dir / name)
        if ID_PATTERN.fullmatch(path.name) and path.name not in ids
    ]
    unknown = [path for path in left if path.name not in deleted and _holds_anything(path)]
    if unknown and not move_unknown:
        raise ConfigError(
            f"the database {spool.state_dir / STORE_FILE_NAME} does not know {len(unknown)} of the"
            f" folders of songs and stems beside it ({_examples(unknown)}): it is new, or older than they"
            " are. Put back its newest copy; or start with --move-unknown, which moves them to"
            f" {spool.lost_and_found}"
        )
    for path in left:
        if path in unknown:
            place = spool.set_aside(path)
            stamp_s = await store(lambda s: s.clock.stamp_s())
            os.utime(place, (stamp_s, stamp_s))  # its age counts from here
            log.warning("%s is not in the database; moved to %s, and kept %d days", path, place, LOST_DAYS)
        else:
            log.info("%s was left of something deleted; removed", path)
            spool.remove(path)
    await store(lambda s: s.clear_deleted_ids())


def remove_long_lost(spool: Spool, now_s: float) -> None:
    """Remove what has lain in `lost+found` for LOST_DAYS, and of more than MAX_LOST_BYTES the oldest before.

    Only folders that were moved there by a server are touched, and none within LOST_SAFE_DAYS.

    Args:
        spool: of this state directory.
        now_s: Unix time that is believed.
    """
    moved = [path for path in _entries(spool.lost_and_found) if MOVED_PATTERN.fullmatch(path.name)]
    ages_days = {path: (now_s - path.lstat().st_mtime) / S_PER_DAY for path in moved}
    left_bytes = {path: _size_bytes(path) for path in moved}
    for path in sorted(moved, key=ages_days.__getitem__, reverse=True):
        too_much = sum(left_bytes.values()) > MAX_LOST_BYTES and ages_days[path] >= LOST_SAFE_DAYS
        if ages_days[path] >= LOST_DAYS or too_much:
            size_bytes = left_bytes.pop(path)
            spool.remove(path)
            log.warning(
                "%s had been in lost+found for %.0f days; removed, %d bytes",
                path,
                ages_days[path],
                size_bytes,
            )


def _size_bytes(path: Path) -> int:
    return sum(each.lstat().st_size for each in (path, *path.rglob("*")))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _holds_anything(path: Path) -> bool:
    """Return whether there is a byte in a file, or anything but files and folders."""
    within = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return any(not stat.S_ISDIR(each.lstat().st_mode) and each.lstat().st_size > 0 for each in within)


def _examples(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:EXAMPLES])
    return names + (", ..." if len(paths) > EXAMPLES else "")
