"""A store of any released version opens with everything in it, and one of the future is not touched."""

from pathlib import Path

import apsw
import pytest

from tests.data.make_store_v1 import dump
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import UploadState
from ugosa_server.jobs.store.async_store import Store
from ugosa_server.jobs.store.schema import MIGRATIONS, open_database

VERSION_1 = Path(__file__).parents[1] / "data" / "store_v1.sql"


@pytest.fixture
def old_store(tmp_path):
    path = tmp_path / "ugosa.sqlite"
    connection = apsw.Connection(str(path))
    connection.execute(VERSION_1.read_text())
    connection.close()
    return path


def schema(connection):
    return {
        name: sorted(row[1:3] for row in connection.execute(f"PRAGMA table_info({name})"))
        for (name,) in connection.execute("SELECT name FROM sqlite_schema").fetchall()
    }


def test_version_1_is_what_was_released():
    assert dump() == VERSION_1.read_text()


def test_a_store_of_version_1_is_migrated_with_everything_in_it(old_store):
    store = Store(old_store)
    jobs = {job.job_id[-2:]: job for job in store.jobs.page("local", (), None, 10)[0]}
    assert [jobs[name].state for name in ("b1", "b2", "b3", "b4")] == [
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.RUNNING,
        JobState.QUEUED,
    ]
    assert [stem.size_bytes for stem in jobs["b1"].result.stems] == [8044, 8045, 8046, 8047]
    assert jobs["b2"].error.reason == "DIVERGED"
    assert store.events.after(jobs["b3"].job_id, 0, 10)[0].body.state is JobState.RUNNING
    upload = store.uploads.get("local", jobs["b1"].upload_id)
    assert (upload.state, upload.audio.frames) == (UploadState.COMPLETE, 1000)
    assert store.uploads.stored_bytes("local") == 1000 * 2 * 4 + 123
    assert store.jobs.stored_bytes("local") == 8044 + 8045 + 8046 + 8047
    assert store.tokens.all() == []
    assert store.jobs.claim_next().job_id == jobs["b4"].job_id
    store.close()


def test_a_migrated_store_has_the_schema_of_a_new_one(old_store, tmp_path):
    migrated, new = open_database(str(old_store)), open_database(str(tmp_path / "new.sqlite"))
    assert schema(migrated) == schema(new)
    assert migrated.pragma("user_version") == new.pragma("user_version") == len(MIGRATIONS)
    assert migrated.pragma("integrity_check") == "ok"
    assert migrated.pragma("journal_mode") == "wal"
    assert migrated.pragma("synchronous") == 2, "FULL"


def test_a_migration_that_fails_changes_nothing(old_store, monkeypatch):
    monkeypatch.setattr(
        "ugosa_server.jobs.store.schema.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE jobs (x INTEGER);")
    )
    with pytest.raises(apsw.SQLError):
        open_database(str(old_store))
    connection = apsw.Connection(str(old_store))
    assert connection.pragma("user_version") == 1
    assert "tokens" not in schema(connection)
    assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (4,)


def test_a_store_of_a_newer_server_is_refused_and_left_alone(old_store):
    connection = apsw.Connection(str(old_store))
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()
    before = old_store.read_bytes()
    with pytest.raises(apsw.Error, match=f"version {len(MIGRATIONS) + 1}"):
        open_database(str(old_store))
    with apsw.Connection(str(old_store)) as after:
        assert after.pragma("user_version") == len(MIGRATIONS) + 1
        assert "tokens" not in schema(after)
    assert len(old_store.read_bytes()) == len(before)
