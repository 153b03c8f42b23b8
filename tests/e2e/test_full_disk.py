"""A server on a disk that is full to the last byte still deletes, stops politely and starts again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers.jobs import LONG, QUICK, silent, states, wait_for_adaptation
from tests.helpers.server import Server
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobState
from ugosa_client.errors import ResourceExhaustedError

DISK = "48m"
MARKS = [silent("vocals", 10000, 30000)]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of its own, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until nothing more fits."""
    filler = folder / ".filler"
    with filler.open("ab", buffering=0) as stream:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue
    return filler


def test_a_full_disk_lets_people_delete_stop_and_start(model_dir: Path, small_disk: Path, tmp_path: Path):
    state_dir = small_disk / "state"
    song = write_song(make_song(44100), tmp_path / "song.wav")
    with Server(state_dir, model_dir, ["--min-free-bytes", "0", "--drain-grace-s", "0.5"]) as server:
        server.wait_ready()
        with server.client() as client:
            upload_id = client.upload(song).upload_id
            done = client.create_job(upload_id, options=QUICK)
            assert states(list(client.watch(done.job_id)))[-1] is JobState.SUCCEEDED
            running = client.create_job(upload_id, marks=MARKS, options=LONG)
            wait_for_adaptation(client, running.job_id)
            fill(small_disk)
        assert server.stop() == 0, server.log_tail()
        fill(small_disk)
        server.start()
        server.wait_ready()
        with server.client() as client:
            with pytest.raises(ResourceExhaustedError):
                client.upload(write_song(make_song(40 * 44100), tmp_path / "long.wav"))
            client.delete(done.job_id)
            (small_disk / ".filler").unlink()
            client.cancel(running.job_id)
            assert states(list(client.watch(running.job_id)))[-1] is JobState.CANCELLED
        assert server.stop() == 0, server.log_tail()
