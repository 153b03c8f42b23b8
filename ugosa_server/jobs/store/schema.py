"""The store's tables, by version. A released version is never edited; the next one migrates from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from ugosa_server.jobs.store.rows import read_value

BUSY_TIMEOUT_MS = 5000

MIGRATIONS = (
    """
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
        create_time_s REAL NOT NULL,
        UNIQUE (principal, request_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        upload_id TEXT NOT NULL,
        upload_sha256 TEXT NOT NULL,
        file_name TEXT NOT NULL,
        audio TEXT NOT NULL,
        options TEXT NOT NULL,
        marks TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        fraction REAL NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        create_time_s REAL NOT NULL,
        start_time_s REAL,
        end_time_s REAL,
        error TEXT,
        result TEXT,
        UNIQUE (principal, request_id)
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE INDEX jobs_by_upload ON jobs (upload_id);

    CREATE TABLE events (
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        time_s REAL NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (job_id, seq)
    ) STRICT, WITHOUT ROWID;
    """,
    # 2: tokens; what each upload and job holds on disk, so that quotas need not look into JSON.
    """
    CREATE TABLE tokens (
        token_id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        secret_sha256 TEXT NOT NULL,
        create_time_s REAL NOT NULL,
        expire_time_s REAL
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE uploads ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE uploads SET stored_bytes = coalesce(
        json_extract(audio, '$.frames') * json_extract(audio, '$.channels') * 4, committed_size);
    CREATE INDEX uploads_by_principal ON uploads (principal, stored_bytes);

    ALTER TABLE jobs ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET stored_bytes = coalesce(
        (SELECT sum(json_extract(stem.value, '$.size_bytes')) FROM json_each(result, '$.stems') AS stem), 0);
    CREATE INDEX jobs_by_principal ON jobs (principal, state, stored_bytes);
    CREATE INDEX jobs_by_end ON jobs (end_time_s);
    """,
    # 3: whose job is next (jobs/turns.py).
    """
    CREATE TABLE turns (
        principal TEXT PRIMARY KEY,
        turn INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX turns_by_turn ON turns (turn);
    CREATE INDEX jobs_by_turn ON jobs (state, principal, number);
    """,
    # 4: job arrays, each with one numbering of all events of its jobs.
    """
    CREATE TABLE job_arrays (
        array_id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        last_seq INTEGER NOT NULL DEFAULT 0,
        create_time_s REAL NOT NULL,
        UNIQUE (principal, request_id)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE jobs ADD COLUMN array_id TEXT;
    CREATE INDEX jobs_by_array ON jobs (array_id, number);

    CREATE TABLE array_events (
        array_id TEXT NOT NULL,
        array_seq INTEGER NOT NULL,
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (array_id, array_seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX array_events_by_job ON array_events (job_id);
    """,
    # 5: videos of players; what jobs see stands beside their rows, which are read often and whole.
    """
    ALTER TABLE uploads ADD COLUMN video TEXT;
    ALTER TABLE jobs ADD COLUMN video_upload_id TEXT;
    CREATE INDEX jobs_by_video ON jobs (video_upload_id);

    CREATE TABLE job_sights (
        job_id TEXT PRIMARY KEY,
        visual_frames TEXT NOT NULL,
        pictures TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
)


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """All or nothing; an inner transaction becomes part of the outer one.

    Where the disk is full or fails, SQLite itself undoes the outermost one (sqlite.org/lang_transaction.html,
    3.1). apsw then misses its savepoint and says only that; what went wrong is what is raised here.
    """
    try:
        with connection:
            yield
    except apsw.SQLError as error:
        cause: BaseException | None = error
        while isinstance(cause, apsw.SQLError):
            cause = cause.__context__
        if connection.in_transaction or not isinstance(cause, apsw.Error):
            raise
        raise cause from None


def open_database(path: str, vfs: str | None = None) -> apsw.Connection:
    """Open (or make) the database and bring it to the newest version.

    Write-ahead log with synchronous=FULL: a transaction that has returned survives a power failure. A `vfs`
    (SQLite's file layer) other than the system's has no shared memory, so that its database is locked whole.

    Raises:
        apsw.Error: the file is no database, or was written by a newer version.
    """
    connection = apsw.Connection(path, vfs=vfs)
    try:
        _prepare(connection, locks_whole=vfs is not None)
    except BaseException:
        connection.close(True)  # keeps no lock on a database that cannot be used
        raise
    return connection


def _prepare(connection: apsw.Connection, *, locks_whole: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # A transaction that begins by reading and then finds that `ugosa-server token` has written in between
    # could not go on; IMMEDIATE makes it wait at its start instead.
    connection.transaction_mode = "IMMEDIATE"
    if locks_whole:
        connection.pragma("locking_mode", "exclusive")
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    with transaction(connection):  # one that a second process, opening it at the same time, waits for
        version = read_value(connection, int, "PRAGMA user_version")
        if version > len(MIGRATIONS):
            known = len(MIGRATIONS)
            raise apsw.Error(f"the store has version {version}, but this server knows {known} at most")
        for migration in MIGRATIONS[version:]:
            connection.execute(migration)
        connection.pragma("user_version", len(MIGRATIONS))
