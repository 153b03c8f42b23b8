"""The store's tables; databases of them are opened, checked for their version, and copied.

From the first release on, SCHEMA is edited no more: a later version migrates from it.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import apsw

from ugosa_server.errors import ConfigError, DiskFullError
from ugosa_server.jobs.store.rows import Database

BUSY_TIMEOUT_MS = 30_000  # a disk can stand still for seconds
RETRY_S = 0.01
# In the header of the file; stores made before the first release have 0.
APPLICATION_ID = int.from_bytes(b"UGOS")
VERSION = 1
FOLDERS = (
    "SELECT 'uploads/' || upload_id, state FROM uploads"
    " UNION ALL SELECT 'jobs/' || job_id, state FROM jobs WHERE end_time_s IS NOT NULL"
)

SCHEMA = """
    CREATE TABLE uploads (
        upload_id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        format TEXT NOT NULL,
        state TEXT NOT NULL,
        committed_size INTEGER NOT NULL DEFAULT 0,
        sha256 TEXT NOT NULL DEFAULT '',
        audio TEXT,
        video TEXT,
        stored_bytes INTEGER NOT NULL DEFAULT 0,
        create_time_s REAL NOT NULL,
        UNIQUE (principal, request_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX uploads_by_principal ON uploads (principal, stored_bytes);

    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        array_id TEXT,
        upload_id TEXT NOT NULL,
        upload_sha256 TEXT NOT NULL,
        video_upload_id TEXT,
        file_name TEXT NOT NULL,
        audio TEXT NOT NULL,
        options TEXT NOT NULL,
        marks TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        fraction REAL NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        stored_bytes INTEGER NOT NULL DEFAULT 0,  -- until the end: the most that its stems can take
        create_time_s REAL NOT NULL,
        start_time_s REAL,
        end_time_s REAL,
        error TEXT,
        result TEXT,
        UNIQUE (principal, request_id)
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE INDEX jobs_by_turn ON jobs (state, principal, number);
    CREATE INDEX jobs_by_principal ON jobs (principal, state, stored_bytes);
    CREATE INDEX jobs_by_end ON jobs (end_time_s);
    CREATE INDEX jobs_by_upload ON jobs (upload_id);
    CREATE INDEX jobs_by_video ON jobs (video_upload_id);
    CREATE INDEX jobs_by_array ON jobs (array_id, number);

    -- Beside the rows of jobs, which are read often and whole.
    CREATE TABLE job_player_frames (
        job_id TEXT PRIMARY KEY, visual_frames TEXT NOT NULL, pictures TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE events (
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        time_s REAL NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (job_id, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE job_arrays (
        array_id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        last_seq INTEGER NOT NULL DEFAULT 0,
        create_time_s REAL NOT NULL,
        UNIQUE (principal, request_id)
    ) STRICT, WITHOUT ROWID;

    -- One numbering of all events of an array's jobs.
    CREATE TABLE array_events (
        array_id TEXT NOT NULL,
        array_seq INTEGER NOT NULL,
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (array_id, array_seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX array_events_by_job ON array_events (job_id);

    -- When each principal's last turn was (store/job_reader.py).
    CREATE TABLE turns (principal TEXT PRIMARY KEY, turn INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX turns_by_turn ON turns (turn);

    CREATE TABLE tokens (
        token_id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        secret_sha256 TEXT NOT NULL,
        create_time_s REAL NOT NULL,
        expire_time_s REAL
    ) STRICT, WITHOUT ROWID;
"""

# Made wherever they are missing.
LATER_TABLES = """
    -- Only a row here, or the end of a job, lets a start remove a folder.
    CREATE TABLE IF NOT EXISTS deletions (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS upload_deleted AFTER DELETE ON uploads
        BEGIN INSERT OR IGNORE INTO deletions VALUES (OLD.upload_id); END;
    CREATE TRIGGER IF NOT EXISTS job_deleted AFTER DELETE ON jobs
        BEGIN INSERT OR IGNORE INTO deletions VALUES (OLD.job_id); END;

    -- Jobs that were asked to learn no more.
    CREATE TABLE IF NOT EXISTS accepted_jobs (job_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS accepted_job_deleted AFTER DELETE ON jobs
        BEGIN DELETE FROM accepted_jobs WHERE job_id = OLD.job_id; END;
    -- Marks of a job, which can be many: each event writes the row of its job anew. Jobs made by an earlier
    -- version have theirs in the row.
    CREATE TABLE IF NOT EXISTS job_marks (job_id TEXT PRIMARY KEY, marks TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS job_of_marks_deleted AFTER DELETE ON jobs
        BEGIN DELETE FROM job_marks WHERE job_id = OLD.job_id; END;

    -- When the clock was last believed, and since when another time is doubted (store/clock_table.py).
    CREATE TABLE IF NOT EXISTS clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seen_s REAL NOT NULL,
        doubted_s REAL
    ) STRICT;

    -- What a job was asked to do, so that an equal request finds its stems; no row where that is unknown.
    CREATE TABLE IF NOT EXISTS job_contents (
        job_id TEXT PRIMARY KEY, content_sha256 TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS jobs_by_content ON job_contents (content_sha256);
    CREATE TRIGGER IF NOT EXISTS job_of_content_deleted AFTER DELETE ON jobs
        BEGIN DELETE FROM job_contents WHERE job_id = OLD.job_id; END;

    -- Jobs that are kept for ever.
    CREATE TABLE IF NOT EXISTS stars (job_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS starred_job_deleted AFTER DELETE ON jobs
        BEGIN DELETE FROM stars WHERE job_id = OLD.job_id; END;

    -- Runs that came to no end (retries.py).
    CREATE TABLE IF NOT EXISTS lost_runs (
        job_id TEXT PRIMARY KEY,
        runs INTEGER NOT NULL,
        workers INTEGER NOT NULL,
        machine_faults INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS job_of_lost_runs_deleted AFTER DELETE ON jobs
        BEGIN DELETE FROM lost_runs WHERE job_id = OLD.job_id; END;
"""


def open_database(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open the database, or make it.

    Write-ahead log with synchronous=FULL: a transaction that has returned survives a power failure. A `vfs`
    (SQLite's file layer) other than the system's has no shared memory, so that its database is locked whole.

    Raises:
        apsw.Error: the file is no database.
        ConfigError: it is none of this version.
    """
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        _prepare(connection, path, locks_whole=vfs is not None)
    except BaseException:
        connection.close(True)  # keeps no lock on a database that cannot be used
        raise
    return connection


def open_read_only(path: Path) -> apsw.Connection:
    """Open a database that exists, beside a server or without one, and change nothing on disk.

    Raises:
        apsw.Error: the file is no database.
        ConfigError: it is none of this version, or still empty.
    """
    # Without a write-ahead log no server has the database open, and the file is whole by itself. Read as it
    # stands, it needs none of the files that SQLite would make beside it for the log.
    has_log = path.with_name(path.name + "-wal").exists()
    uri = f"{path.absolute().as_uri()}?{'mode=ro' if has_log else 'immutable=1'}"
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        if _is_new(connection, path):
            raise ConfigError(f"the store {path} is empty; the server makes its tables when it starts")
    except BaseException:
        connection.close(True)
        raise
    return connection


def copy_database(source: Path, target: Path) -> None:
    """Copy a database beside whoever writes to it; `target` is replaced.

    Raises:
        DiskFullError: the copy cannot be written.
    """
    target.unlink(missing_ok=True)
    try:
        with (
            closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as reader,
            closing(apsw.Connection(str(target))) as writer,
        ):
            with writer.backup("main", reader, "main") as backup:
                backup.step()  # of all pages
            writer.execute("PRAGMA journal_mode = DELETE")  # one file, until a server opens it
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
        raise DiskFullError(f"{target} cannot be written: its disk is full, or fails") from error


def folders_of(database: Path) -> frozenset[tuple[str, str]]:
    """Return the folders of a state directory that a database counts on, each with its owner's state.

    Jobs that have not ended have none: they are run anew.
    """
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return frozenset(connection.execute(FOLDERS))
    finally:
        connection.close()


def _prepare(connection: apsw.Connection, path: Path, *, locks_whole: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    if locks_whole:
        connection.pragma("locking_mode", "exclusive")
    _is_new(connection, path)  # before the first write
    _log_ahead(connection)
    connection.pragma("synchronous", "full")
    # One that a second process, opening it at the same time, waits for.
    with Database(connection).transaction():
        if _is_new(connection, path):
            connection.execute(SCHEMA)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
        connection.execute(LATER_TABLES)


def _log_ahead(connection: apsw.Connection) -> None:
    """Change to a write-ahead log; where another process does just that, SQLite itself would not wait."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(RETRY_S)
        else:
            return


def _is_new(connection: apsw.Connection, path: Path) -> bool:
    """Return whether the database is still empty; check that otherwise it is a store of this version."""
    database = Database(connection)
    connection.execute("SAVEPOINT seen")  # all as of one moment: another process may just make the tables
    application_id = database.value(int, "PRAGMA application_id")
    version = database.value(int, "PRAGMA user_version")
    tables = database.value(int, "SELECT count(*) FROM sqlite_schema")
    connection.execute("RELEASE seen")
    if (application_id, version) == (APPLICATION_ID, VERSION):
        return False
    if application_id == APPLICATION_ID:
        raise ConfigError(
            f"the store {path} has version {version}, but this server reads version {VERSION}; upgrade"
            " ugosa-server, or choose another state directory"
        )
    if version or tables:
        raise ConfigError(
            f"the store {path} was made before the first release (version {version}), and this server reads"
            f" version {VERSION} of a release; empty the state directory and send the songs again, or choose"
            " another"
        )
    return True
