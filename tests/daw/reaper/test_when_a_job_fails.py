"""A job that fails at the server says why in REAPER, and leaves the project as it was."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psutil

from tests.daw.reaper.scene import Scene
from tests.helpers.server import Server
from tests.helpers.songs import make_song, write_song
from ugosa_client import Progress


def test_a_job_that_loses_its_workers_is_reported(scene: Scene, folder: Path, shared_server: Server) -> None:
    server = shared_server
    song = write_song(make_song(10 * 44100), folder / "long.wav")
    scene.add_track("mix", {"path": str(song), "values": {"B_UISEL": 1}, "take_values": {}})
    scene.add_region("no vocals", 2.0, 8.0)
    first = server.worker()
    first.suspend()
    closed = scene.play("Separate", until="Closing this window", until_pending=True)
    (waiting,) = json.loads(closed.pending)
    with contextlib.suppress(psutil.NoSuchProcess):  # on a busy machine its silence was noticed: lost, too
        first.resume()
    with server.client() as client:
        killed = set()
        for event in client.watch(waiting["job_id"]):
            if isinstance(event, Progress) and event.step > 0 and event.attempt not in killed:
                killed.add(event.attempt)
                server.worker().kill()
    scene.pending = closed.pending
    outcome = scene.play(action="Resume jobs of this project", until="long.wav: job")
    assert "failed" in outcome.screen
    assert "worker" in outcome.screen
    assert outcome.after == outcome.before
    assert outcome.pending == ""
