"""A copy of a state directory that is in use is one that a server starts on, with all that had arrived."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.helpers.jobs import LONG, QUICK, silent, wait_for_adaptation
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import SOURCES, make_song, write_song
from ugosa_client import JobState
from ugosa_client.errors import BadInputError
from ugosa_server.backup import back_up
from ugosa_server.cli import main
from ugosa_server.errors import ConfigError, DiskFullError
from ugosa_server.jobs.model import UploadFormat
from ugosa_server.jobs.store import STORE_FILE_NAME, Store

MARKS = [silent("vocals", 10000, 30000)]


def test_a_server_starts_on_a_copy_made_while_another_works(
    start_server: StartServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, copy = start_server(), tmp_path / "copy"
    with server.client() as client:
        upload = client.upload(write_song(make_song(44100), tmp_path / "song.wav"))
        done = client.create_job(upload.upload_id, marks=MARKS, options=QUICK)
        list(client.watch(done.job_id))
        gone = client.upload(write_song(make_song(44100, seed=1), tmp_path / "gone.wav"))
        client.delete_upload(gone.upload_id)
        stems = client.fetch(done.job_id, tmp_path / "before").stems
        running = client.create_job(upload.upload_id, marks=MARKS, options=LONG)
        wait_for_adaptation(client, running.job_id)
        waiting = client.create_job(upload.upload_id, marks=MARKS, options=QUICK)
        assert main(["backup", str(copy), "--state-dir", str(server.state_dir)]) == 0
        assert "songs and stems (folders: 2)" in capsys.readouterr().out
        client.cancel(running.job_id)
        with pytest.raises(ConfigError, match="is not empty"):
            back_up(server.state_dir, copy)
    assert {path.name for path in copy.iterdir()} == {"ugosa.sqlite", "uploads", "jobs", "checkpoints"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in copy.rglob("*"))
    server.stop()
    server.state_dir.rename(tmp_path / "lost")  # as a disk may be: nothing is read there
    restored = start_server("--state-dir", str(copy))
    with restored.client() as client:
        found = client.fetch(done.job_id, tmp_path / "after").stems
        assert {s: path.read_bytes() for s, path in found.items()} == {
            s: path.read_bytes() for s, path in stems.items()
        }
        assert [upload.upload_id for upload in client.list_uploads()] == [done.upload_id]
        assert client.get_job(running.job_id).state in (JobState.QUEUED, JobState.RUNNING)
        client.cancel(running.job_id)
        list(client.watch(waiting.job_id))
        assert client.get_job(waiting.job_id).state is JobState.SUCCEEDED
        everywhere = [silent(source, 10000, 30000) for source in SOURCES]  # the mix is read, too
        codes = [finding.code for finding in client.lint_marks(done.upload_id, everywhere).findings]
        assert "ALL_SILENT" in codes
        with pytest.raises(BadInputError, match="all sources are marked silent"):
            client.create_job(done.upload_id, marks=everywhere, options=QUICK)


@pytest.fixture
def state_of_a_song(tmp_path: Path) -> Path:
    """A state directory without a server, in which one song has 2 MB."""
    state_dir = tmp_path / "state"
    song = state_dir / "uploads" / "upload-1" / "audio.f32"
    song.parent.mkdir(parents=True)
    song.write_bytes(bytes(2_000_000))
    store = Store(state_dir / STORE_FILE_NAME)
    store.uploads.create("upload-1", "anna", "r", "d", UploadFormat())
    store.close()
    return state_dir


def test_a_song_that_goes_while_it_is_listed_is_left_out(
    state_of_a_song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir, song_dir = os.scandir, state_of_a_song / "uploads" / "upload-1"

    def delete_and_list(path):
        if str(path) == str(song_dir):
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", delete_and_list)
    n_folders = back_up(state_of_a_song, tmp_path / "copy")
    assert n_folders == len(list((tmp_path / "copy" / "uploads").iterdir()))


@pytest.mark.parametrize("file_limit", [8192, 1_000_000])  # less than the database, less than the song
def test_a_copy_that_finds_no_room_is_told_with_its_place(
    state_of_a_song: Path, tmp_path: Path, file_limit: int
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, limits[1]))
    try:
        with pytest.raises(DiskFullError, match=r"copy cannot be written whole: .* make room there"):
            back_up(state_of_a_song, tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_no_state_directory_or_no_new_folder_is_refused(
    shared_server: Server, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no state directory"):
        back_up(tmp_path, tmp_path / "copy")
    with pytest.raises(ConfigError, match="lies in the state directory"):
        back_up(shared_server.state_dir, shared_server.state_dir / "copy")


def test_a_database_no_server_can_start_on_is_not_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = tmp_path / "newer"
    Store(newer).close()
    with contextlib.closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    state_dir, copy = tmp_path / "state", tmp_path / "copy"
    state_dir.mkdir()
    for content, words in (
        (b"garbage" * 1000, "file is not a database; put back a copy"),
        (newer.read_bytes(), "has version 99, but this server reads version"),
    ):
        (state_dir / STORE_FILE_NAME).write_bytes(content)
        assert main(["backup", str(copy), "--state-dir", str(state_dir)]) == 2
        assert words in capsys.readouterr().err
        assert not copy.exists()
