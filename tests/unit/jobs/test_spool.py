"""Folders on disk: an attempt starts empty, takes over the newest checkpoint, and a stale one harms none."""

import asyncio

import pytest

from ugosa_server.errors import DiskFullError
from ugosa_server.jobs.spool import Spool


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path, min_free_bytes=0)


def test_an_attempt_starts_empty_with_the_newest_checkpoint(spool):
    first = spool.make_attempt("job", 1)
    assert first.resume is None
    first.checkpoint.write_text("epoch 3")
    (first.out_dir / "model-mix.f32").touch()
    second = spool.make_attempt("job", 2)
    assert second.resume.read_text() == "epoch 3"
    assert not first.out_dir.exists()
    assert not list(second.out_dir.iterdir())
    third = spool.make_attempt("job", 3)  # the second kept nothing of its own
    assert third.resume == first.checkpoint
    third.checkpoint.write_text("epoch 5")
    assert spool.make_attempt("job", 4).resume.read_text() == "epoch 5"
    assert not first.checkpoint.exists(), "at most one of an earlier attempt is kept"


def test_a_stale_attempt_writes_over_nothing_of_a_newer_one(spool):
    stale = spool.make_attempt("job", 1)
    newer = spool.make_attempt("job", 2)
    newer.checkpoint.write_text("epoch 5")
    stale.checkpoint.write_text("epoch 2")
    assert newer.checkpoint.read_text() == "epoch 5"
    assert spool.make_attempt("job", 3).resume.read_text() == "epoch 5"
    with pytest.raises(FileNotFoundError):
        (stale.out_dir / "stem-0.wav").write_text("stale")


def test_deletions_at_once_all_use_the_room_that_one_gives_up(spool, tmp_path):
    spool.take_ballast()
    tried = []

    async def delete():
        tried.append((tmp_path / "ballast").exists())
        if tried[-1]:
            await asyncio.sleep(0)  # the others find the disk full, too
            raise DiskFullError("no room")

    async def delete_three():
        await asyncio.gather(*(spool.deleting(delete) for _ in range(3)))

    asyncio.run(delete_three())
    assert tried == [True] * 3 + [False] * 3


def test_nothing_can_be_kept_for_a_job_that_has_ended(spool):
    stale = spool.make_attempt("job", 1)
    spool.delete_checkpoints("job")
    with pytest.raises(FileNotFoundError):
        stale.checkpoint.write_text("epoch 2")
