"""A start removes only what the store proves to be deleted or ended; the rest is refused or moved."""

import asyncio
import logging
import os
import shutil

import pytest

from tests.helpers.front import PRINCIPAL, Front, running_front
from ugosa_server.cli import main
from ugosa_server.errors import ConfigError
from ugosa_server.jobs.model import UploadFormat
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.retention import MAX_LOST_BYTES, check_state_dir, remove_leftovers, remove_long_lost
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import STORE_FILE_NAME, Store


@pytest.fixture
def filled(tmp_path):
    """A state directory with a song and an ended job, and their ids."""

    async def fill():
        async with running_front(tmp_path) as front:
            upload = await front.upload()
            job = await front.jobs.create(PRINCIPAL, "r", upload.upload_id, JobOptionsRequest(), ())
            await front.events(job.job_id)
            return upload.upload_id, job.job_id

    return tmp_path, *asyncio.run(fill())


def start(state_dir, *, move_unknown=False):
    async def run():
        front = Front(state_dir, None)
        try:
            await remove_leftovers(front.store, front.spool, move_unknown=move_unknown)
        finally:
            front.store.close()

    check_state_dir_of_a_server(state_dir)
    asyncio.run(run())


def check_state_dir_of_a_server(state_dir):
    shutil.rmtree(state_dir / "models", ignore_errors=True)
    check_state_dir(state_dir)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def spooled(state_dir):
    return {path: data for path, data in files(state_dir).items() if path.parts[0] in ("uploads", "jobs")}


def test_a_start_leaves_what_the_store_knows(filled):
    state_dir, *_ = filled
    before = spooled(state_dir)
    start(state_dir)
    assert before == spooled(state_dir) != {}


def test_what_was_deleted_before_a_crash_is_removed_and_logged(filled, caplog):
    state_dir, upload_id, job_id = filled
    caplog.set_level(logging.INFO)

    async def delete_rows():
        front = Front(state_dir, None)
        await front.store(lambda s: s.jobs.delete(PRINCIPAL, job_id))
        await front.store(lambda s: s.uploads.delete(PRINCIPAL, upload_id))
        front.store.close()

    asyncio.run(delete_rows())
    start(state_dir)
    assert spooled(state_dir) == {}
    assert upload_id in caplog.text
    assert job_id in caplog.text
    assert not (state_dir / "lost+found").exists()


def test_a_new_database_beside_songs_is_refused_with_a_way_out(filled, caplog):
    state_dir, upload_id, _ = filled
    for path in state_dir.glob(f"{STORE_FILE_NAME}*"):
        path.unlink()
    before = spooled(state_dir)
    for _ in range(2):  # also when the refused start has left a database
        with pytest.raises(ConfigError, match=r"does not know 2 of the folders.*newest copy.*--move-unknown"):
            start(state_dir)
        assert spooled(state_dir) == before
    start(state_dir, move_unknown=True)
    assert spooled(state_dir) == {}
    moved = files(state_dir / "lost+found")
    assert sorted(moved.values()) == sorted(before.values())
    assert upload_id in caplog.text
    start(state_dir)
    assert files(state_dir / "lost+found") == moved


DAY_S = 86_400


def lost(spool, name, age_days, size_bytes, now_s):
    folder = spool.lost_and_found / name
    folder.mkdir(parents=True)
    with (folder / "audio.f32").open("wb") as file:
        file.truncate(size_bytes)  # takes no room
    os.utime(folder, (now_s - age_days * DAY_S,) * 2)


def test_lost_folders_stay_90_days_and_of_too_many_the_newest(tmp_path, caplog):
    spool, now_s = Spool(tmp_path, 0), 2_000_000_000.0
    ids = {age: f"uploads-upload-{age:016x}" for age in (6, 8, 50, 89, 91)}
    for age, name in ids.items():
        lost(spool, name, age, MAX_LOST_BYTES // 2 - 5000, now_s)
    lost(spool, "jobs-job-00000000000000aa-2", 1000, 10, now_s)
    lost(spool, "my own folder", 1000, 10, now_s)
    remove_long_lost(spool, now_s)
    left = {path.name for path in spool.lost_and_found.iterdir()}
    assert left == {ids[6], ids[8], "my own folder"}
    assert all(name in caplog.text for age, name in ids.items() if age > 8)
    lost(spool, "uploads-upload-00000000000000ff", 1, 3 * MAX_LOST_BYTES, now_s)
    remove_long_lost(spool, now_s)
    left = {path.name for path in spool.lost_and_found.iterdir()}
    assert left == {ids[6], "my own folder", "uploads-upload-00000000000000ff"}, "a week is safe"


def test_an_older_database_is_refused_too(filled, tmp_path_factory):
    state_dir, *_ = filled
    older = tmp_path_factory.mktemp("copy") / STORE_FILE_NAME
    shutil.copy(state_dir / STORE_FILE_NAME, older)

    async def one_more():
        async with running_front(state_dir) as front:
            return await front.upload()

    upload = asyncio.run(one_more())
    shutil.copy(older, state_dir / STORE_FILE_NAME)
    with pytest.raises(ConfigError, match=f"does not know 1 of the folders.*{upload.upload_id}"):
        start(state_dir)
    assert (state_dir / "uploads" / upload.upload_id / "audio.f32").exists()


def test_names_that_are_not_ours_are_never_touched(filled):
    state_dir, *_ = filled
    for parent in ("uploads", "jobs", "checkpoints"):
        (state_dir / parent / "epoch-7").mkdir()
        (state_dir / parent / "epoch-7" / "weights").write_text("a month of training")
        (state_dir / parent / "notes.txt").write_text("mine")
    before = files(state_dir)
    start(state_dir)
    assert {path for path in before if "models" not in path.parts} <= set(files(state_dir))


@pytest.mark.parametrize("command", ["serve", "token create --principal anna"])
@pytest.mark.parametrize("name", ["train.py", "checkpoints/epoch-7/weights"])
def test_a_folder_of_something_else_is_refused(tmp_path, capsys, command, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("a month of training")
    before = files(tmp_path)
    os.umask(umask := os.umask(0o022))
    assert main([*command.split(), "--state-dir", str(tmp_path)]) == 2
    assert os.umask(umask) == umask, "what the process makes afterwards is as before"
    assert "is no state directory of ugosa-server; choose an empty" in capsys.readouterr().err.replace(
        "\n", " "
    )
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "kind"), [("uploads", "file"), ("jobs", "link"), ("checkpoints", "file"), ("lock", "folder")]
)
def test_what_lies_in_the_place_of_our_own_is_told(tmp_path, capsys, name, kind):
    Store(tmp_path / STORE_FILE_NAME).close()
    path = tmp_path / name
    {"file": path.touch, "link": lambda: path.symlink_to("/nowhere"), "folder": path.mkdir}[kind]()
    assert main(["serve", "--state-dir", str(tmp_path), "--listen", f"unix:{tmp_path}/u.sock"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"{path}: " in error
    assert "move away what is in its place" in error


@pytest.mark.parametrize("name", ["lost+found", ".cache", "ugosa.sock.lock", "uploads"])
def test_a_volume_and_an_interrupted_first_start_are_taken(tmp_path, name):
    (tmp_path / name).mkdir()
    check_state_dir(tmp_path)


def test_a_crash_after_the_row_of_an_upload_loses_nothing(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            upload = await front.uploads.create(PRINCIPAL, "r", UploadFormat(), 0)
            shutil.rmtree(front.spool.upload_dir(upload.upload_id))
            again = await front.uploads.create(PRINCIPAL, "r", UploadFormat(), 0)
            assert again.upload_id == upload.upload_id
            shutil.rmtree(front.spool.upload_dir(upload.upload_id))
            async with front.uploads.open(PRINCIPAL, upload.upload_id) as opened:
                assert opened.committed_size == 0
            assert front.spool.bytes_path(upload.upload_id).exists()

    asyncio.run(run())
