"""kill -9 at every named place of upload, job, worker and file writing: nothing acknowledged is lost.

After each kill of the server it is started again on the same state and the client goes on. Every acknowledged
byte is there, every job ends in one terminal state with one set of stems, and the stems add up to the song.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from tests.helpers.failpoints import NAMES
from tests.helpers.jobs import QUICK, silent, states
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import make_song, read_audio, write_song
from ugosa_client import JobEvent, JobState, UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_client.errors import ServerUnavailableError, TransferInterruptedError

T = TypeVar("T")

MARKS = [silent("vocals", 2000, 20000)]
IMPATIENT = RetryPolicy(
    attempts=3, initial_s=0.05
)  # a server that is gone stays so until it is started again
TWO_CHUNKS = 3 * 44100  # frames of a song that is sent in two
ONE_CHUNK = 44100
UPLOAD = [name for name in NAMES if name.startswith("upload.")]
WORKER = [name for name in NAMES if name.startswith("worker.")]
REST = [name for name in NAMES if name not in (*UPLOAD, *WORKER)]
KILLS = int(os.environ.get("KILLS", "200"))
KILLS_SEED = int(os.environ.get("KILLS_SEED", "0"))  # which places, in which order
# How often a place is passed in one upload and job; the places that are not here, once.
PASSES = {"upload.synced": 2, "job.event_recorded": 4, "file.renamed": 7}


class Faults:
    """Places at which the servers to come can die; at each of them once for every time it is armed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def arming(self, places: Sequence[tuple[str, int]]) -> str:
        """Return the setting with which a server can die at the n-th pass of each place that is armed."""
        return ",".join(f"{name}:{count}:{self._token(name)}" for name, count in places)

    def arm(self, name: str) -> None:
        """Have the next process that passes this place die there."""
        self._token(name).touch()

    def disarm(self, name: str) -> bool:
        """Return whether somebody has died there since it was armed; nobody does any more."""
        came = not self._token(name).exists()
        self._token(name).unlink(missing_ok=True)
        return came

    def _token(self, name: str) -> Path:
        return self._folder / f"token {name}"


class Musician:
    """Sends songs and wants their stems, however often the server dies."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def gets_stems(self, number: int, frames: int, deaths: int = 1) -> None:
        """Send a song of its own for each number, take its stems, and check all that was promised."""
        self._deaths_to_come = deaths
        self._acknowledged_bytes = 0
        events: list[JobEvent] = []
        song = write_song(make_song(frames, seed=number), self._folder / f"song {number}.wav")
        upload = self._persist(lambda client: client.upload(song, on_progress=self._acknowledged))
        job = self._persist(
            lambda client: client.create_job(
                upload.upload_id, marks=MARKS, options=QUICK, request_id=f"request {number}"
            )
        )
        self._persist(lambda client: watch_on(client, job.job_id, events))
        out_dir = self._folder / f"stems {number}"
        files = self._persist(lambda client: client.fetch(job.job_id, out_dir, overwrite=True))

        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        seen = states(events)
        assert seen[-1] is JobState.SUCCEEDED
        assert sum(state.is_terminal for state in seen) == 1
        total = sum(read_audio(stem) for stem in files.stems.values())
        np.testing.assert_array_equal(total, read_audio(song))
        state_dir = self._folder / "state"
        (attempt,) = (state_dir / "jobs" / job.job_id).iterdir()
        assert len(list(attempt.glob("stem-*"))) == len(files.stems)
        assert not list(state_dir.rglob("*.tmp"))
        with self._server.client() as client:
            assert [known.job_id for known in client.list_jobs()] == [job.job_id]
            client.delete(job.job_id)

    def _persist(self, step: Callable[[UgosaClient], T]) -> T:
        """Do a step until it is done, starting the server again whenever it is gone."""
        while True:
            try:
                with self._server.client(IMPATIENT) as client:
                    return step(client)
            except (ServerUnavailableError, TransferInterruptedError) as error:
                if error.reason == "DECODER_STOPPED":  # the decoder was killed, not the server
                    continue
                self._server.process.wait(timeout=30)
                self._deaths_to_come -= 1
                assert self._deaths_to_come >= 0, "each fault is to happen once"
                self._server.start()
                self._server.wait_listening()

    def _acknowledged(self, committed_size: int, _total: int) -> None:
        assert committed_size >= self._acknowledged_bytes, "acknowledged bytes were lost"
        self._acknowledged_bytes = committed_size


def watch_on(client: UgosaClient, job_id: str, events: list[JobEvent]) -> None:
    """Add to the events of a job those that came after them."""
    after_seq = events[-1].seq if events else 0
    for event in client.watch(job_id, after_seq=after_seq):
        events.append(event)


@pytest.mark.parametrize(
    ("songs", "frames"),
    [([UPLOAD], TWO_CHUNKS), ([REST], ONE_CHUNK), ([[name] for name in WORKER], ONE_CHUNK)],
    ids=["upload", "job and file", "worker"],
)
def test_a_kill_at_each_place_in_turn_loses_nothing(
    songs: list[list[str]],
    frames: int,
    start_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """All on one state: each server takes over what the one before left. A dead worker costs no server.

    A song survives the death of its server at every place; a worker dies once for each song.
    """
    faults = Faults(tmp_path)
    places = [(name, count) for names in songs for name in names for count in range(1, 30)]
    monkeypatch.setenv("UGOSA_FAILPOINT", faults.arming(places))
    server = start_server()
    musician = Musician(server, tmp_path)
    for number, names in enumerate(songs):
        for name in names:
            faults.arm(name)
        musician.gets_stems(number, frames, deaths=len(names))
        assert [name for name in names if not faults.disarm(name)] == [], "never reached"
    assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_many_kills_at_places_by_chance_lose_nothing(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    places = [(name, count) for name in NAMES for count in range(1, PASSES.get(name, 1) + 1)]
    chance = random.Random(KILLS_SEED)
    faults = Faults(tmp_path)
    kills = 0
    for number in itertools.count():
        name, count = chance.choice(places)
        monkeypatch.setenv("UGOSA_FAILPOINT", faults.arming([(name, count)]))
        faults.arm(name)
        server = start_server()
        Musician(server, tmp_path).gets_stems(number, TWO_CHUNKS)
        assert server.stop() == 0
        kills += faults.disarm(name)
        print(f"{kills} of {KILLS} kills survived; the last at {name}, pass {count}", flush=True)
        if kills == KILLS:
            break
        assert number < 2 * KILLS, "too many places are never reached"
