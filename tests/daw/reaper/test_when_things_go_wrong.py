"""Whatever goes wrong is said with what to do, and the project stays as it was."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.daw.reaper.scene import Outcome, Scene
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import make_song, write_song


@pytest.fixture
def scene_with_song(scene: Scene, folder: Path) -> Scene:
    """The scene with one selected item of a second, marked."""
    song = write_song(make_song(44100), folder / "söng.wav")
    scene.add_track("mix", {"path": str(song), "values": {"B_UISEL": 1, "D_POSITION": 2}, "take_values": {}})
    scene.add_region("no vocals", 2.0, 2.5)
    return scene


def assert_untouched(outcome: Outcome) -> None:
    assert outcome.after == outcome.before
    assert outcome.undo_steps == []


def resume(worker: psutil.Process) -> None:
    """Let a suspended worker go on, unless its silence was noticed and it was replaced."""
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.resume()


def test_no_server_says_how_to_start_one(scene_with_song: Scene) -> None:
    scene_with_song.server = f"unix:{scene_with_song.folder}/none"
    outcome = scene_with_song.play(until="ugosa-server serve")
    assert_untouched(outcome)


def test_no_helper_says_how_to_install_it(scene_with_song: Scene) -> None:
    outcome = scene_with_song.play(helper=scene_with_song.folder / "gone" / "ugosa", until="never shown")
    assert "pipx install PATH/TO/ugosa-server/clients/python" in outcome.messages[0]["text"]
    assert_untouched(outcome)


def test_what_the_server_refuses_is_shown_with_its_reason(scene_with_song: Scene) -> None:
    scene_with_song.add_region("no drums, -bass, -other", 2.0, 2.5)
    outcome = scene_with_song.play("Separate", until="all sources are marked silent")
    assert_untouched(outcome)


def test_a_job_is_taken_up_when_the_project_is_opened_again(
    scene_with_song: Scene, shared_server: Server
) -> None:
    worker = shared_server.worker()
    worker.suspend()
    closed = scene_with_song.play("Separate", until="Closing this window", until_pending=True)
    assert_untouched(closed)
    os.kill(scene_with_song.helper_pid(), signal.SIGKILL)  # the whole session ended
    resume(worker)
    scene_with_song.pending = closed.pending
    opened = scene_with_song.play(action="Resume jobs of this project")
    assert opened.difference() < 1e-12
    assert opened.pending == ""


def test_a_helper_that_still_works_is_found_again(scene_with_song: Scene, shared_server: Server) -> None:
    worker = shared_server.worker()
    worker.suspend()
    closed = scene_with_song.play("Separate", until="Closing this window", until_pending=True)
    helper = psutil.Process(scene_with_song.helper_pid())
    scene_with_song.pending = closed.pending
    resume(worker)
    opened = scene_with_song.play(action="Resume jobs of this project")
    assert opened.difference() < 1e-12
    assert scene_with_song.helper_pid() == helper.pid  # no second one was started


def test_cancel_cancels_the_job_at_the_server(scene_with_song: Scene, start_server: StartServer) -> None:
    server = start_server("--cancel-deadline-s", "0.5")
    scene_with_song.server = server.target
    worker = server.worker()
    worker.suspend()
    try:
        outcome = scene_with_song.play("Separate", ("Waiting for its turn", "Cancel"), until="cancelled; the")
    finally:
        resume(worker)
    assert_untouched(outcome)
    with server.client() as client:
        assert [job.state for job in client.list_jobs()] == ["cancelled"]
