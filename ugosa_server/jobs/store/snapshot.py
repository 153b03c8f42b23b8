"""Copies of a database that is in use: as it is at one moment, whole."""

from __future__ import annotations

from pathlib import Path

import apsw

READ_ONLY = apsw.SQLITE_OPEN_READONLY
FOLDERS = (
    "SELECT 'uploads/' || upload_id, state FROM uploads"
    " UNION ALL SELECT 'jobs/' || job_id, state FROM jobs WHERE end_time_s IS NOT NULL"
)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database beside whoever writes to it; `target` is replaced."""
    target.unlink(missing_ok=True)
    reader, writer = apsw.Connection(str(source), flags=READ_ONLY), apsw.Connection(str(target))
    try:
        with writer.backup("main", reader, "main") as backup:
            backup.step()  # of all pages
        writer.execute("PRAGMA journal_mode = DELETE")  # one file, until a server opens it
    finally:
        writer.close()
        reader.close()


def folders_of(database: Path) -> frozenset[tuple[str, str]]:
    """Return the folders of a state directory that a database counts on, each with its owner's state.

    Jobs that have not ended have none: they are run anew.
    """
    connection = apsw.Connection(str(database), flags=READ_ONLY)
    try:
        return frozenset(connection.execute(FOLDERS))
    finally:
        connection.close()
