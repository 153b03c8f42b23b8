"""A new store is durable by its settings; one that this server cannot read is refused and left as it is."""

import contextlib

import apsw
import pytest

from ugosa_server.errors import ConfigError
from ugosa_server.jobs.store import Store
from ugosa_server.jobs.store.schema import APPLICATION_ID, SCHEMA, VERSION, open_database


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ugosa.sqlite"


def made_by(path, sql):
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_store_survives_power_failures_by_its_settings(path):
    connection = open_database(path)
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2, "FULL"
    assert connection.pragma("integrity_check") == "ok"


def test_two_processes_may_make_the_store_at_once(path):
    def make_it_too(cursor, sql, values):
        if "user_version" in sql and hook in apsw.connection_hooks:
            apsw.connection_hooks.remove(hook)
            other = apsw.Connection(str(path))
            with contextlib.suppress(apsw.BusyError):  # a process would wait
                other.execute(f"BEGIN; {SCHEMA}")
                other.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}")
                other.execute("COMMIT")
            other.close(True)
        return True

    def hook(connection):
        connection.exec_trace = make_it_too

    apsw.connection_hooks.append(hook)
    open_database(path).close()
    assert hook not in apsw.connection_hooks


def test_a_new_store_waits_for_another_that_makes_it(path, monkeypatch):
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("time.sleep", lambda seconds: other.execute("ROLLBACK"))
    open_database(path).close()


def test_a_store_that_stays_locked_is_not_called_broken(path, monkeypatch):
    monkeypatch.setattr("ugosa_server.jobs.store.schema.BUSY_TIMEOUT_MS", 10)
    Store(path).close()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConfigError, match="another process is writing to it; try again"):
        Store(path)


@pytest.mark.parametrize("version", [1, 5])
def test_a_store_from_before_the_first_release_is_refused(path, version):
    made_by(path, f"CREATE TABLE jobs (job_id TEXT); PRAGMA user_version = {version}")
    before = contents(path.parent)
    with pytest.raises(ConfigError, match=rf"before the first release \(version {version}\).*send the songs"):
        Store(path)
    assert contents(path.parent) == before


def test_a_store_of_a_newer_server_is_refused(path):
    Store(path).close()
    made_by(path, f"PRAGMA user_version = {VERSION + 1}")
    before = contents(path.parent)
    with pytest.raises(ConfigError, match=f"has version {VERSION + 1}, but .* version {VERSION}; upgrade"):
        Store(path)
    assert contents(path.parent) == before


@pytest.mark.parametrize("is_open", [True, False])
def test_reading_only_leaves_all_files_as_they_are(path, is_open):
    writer = Store(path)
    token = writer.tokens.create("anna", None)
    if not is_open:
        writer.close()
    before = contents(path.parent)
    reader = Store(path, read_only=True)
    assert reader.tokens.principal_of(token) == "anna"
    with pytest.raises(apsw.ReadOnlyError):
        reader.tokens.create("ben", None)
    reader.close()
    after = contents(path.parent)
    assert {name: data for name, data in after.items() if name != "ugosa.sqlite-shm"} == {
        name: data for name, data in before.items() if name != "ugosa.sqlite-shm"
    }, "the shared memory holds marks of who reads"
    assert set(after) == set(before)
    if is_open:
        writer.close()


def test_reading_only_makes_no_store(path):
    with pytest.raises(ConfigError, match="cannot open"):
        Store(path, read_only=True)
    path.touch()
    with pytest.raises(ConfigError, match="is empty"):
        Store(path, read_only=True)
    assert contents(path.parent) == {path.name: b""}
