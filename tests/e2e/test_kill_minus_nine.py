"""kill -9 at every named place of upload, job, worker and file writing: nothing acknowledged is lost.

After each kill the server is started again on the same state and the client goes on. Every acknowledged byte
is there, every job ends in one terminal state with one set of stems, and the stems add up to the song.
"""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.jobs import QUICK, silent, states
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import make_song, read_audio, write_song
from ugosa_client import JobState
from ugosa_client.errors import BadAudioError, ServerUnavailableError, TransferInterruptedError
from ugosa_server.failpoints import NAMES

MARKS = [silent("vocals", 2000, 20000)]
SONG_FRAMES = 3 * 44100  # two upload chunks
KILLS = int(os.environ.get("KILLS", "200"))
KILLS_SEED = int(os.environ.get("KILLS_SEED", "0"))  # which places, in which order
# How often a place is passed in one upload and job; the places that are not here, once.
PASSES = {"upload.synced": 2, "job.event_recorded": 4, "file.renamed": 7}


class Musician:
    """Sends one song and wants its stems, however often the server dies."""

    def __init__(self, start_server: StartServer, song: Path, out_dir: Path, name: str) -> None:
        self._start_server = start_server
        self._song = song
        self._out_dir = out_dir
        self._name = name
        self.server: Server = start_server()
        self.deaths = 0
        self.acknowledged_bytes = 0
        self.events = []

    def persist(self, step):
        """Do a step until it is done, starting the server again whenever it is gone."""
        while True:
            try:
                with self.server.client() as client:
                    return step(client)
            except BadAudioError as error:
                if error.reason != "DECODER_CRASHED":
                    raise
            except (ServerUnavailableError, TransferInterruptedError):
                self.server.process.wait(timeout=30)
                self.deaths += 1
                assert self.deaths < 5, "the fault is to happen once"
                self.server = self._start_server()

    def acknowledged(self, committed_size, _total):
        assert committed_size >= self.acknowledged_bytes, "acknowledged bytes were lost"
        self.acknowledged_bytes = committed_size

    def watch(self, client, job_id):
        after_seq = self.events[-1].seq if self.events else 0
        for event in client.watch(job_id, after_seq=after_seq):
            self.events.append(event)

    def get_stems(self):
        upload = self.persist(lambda client: client.upload(self._song, on_progress=self.acknowledged))
        job = self.persist(
            lambda client: client.create_job(
                upload.upload_id, marks=MARKS, options=QUICK, request_id=self._name
            )
        )
        self.persist(lambda client: self.watch(client, job.job_id))
        files = self.persist(lambda client: client.fetch(job.job_id, self._out_dir, overwrite=True))
        return job.job_id, files


def survives(name, count, start_server, tmp_path, monkeypatch, number=0):
    """Whether the fault came, after checking that it did no harm."""
    token = tmp_path / f"token {number}"
    token.touch()
    monkeypatch.setenv("UGOSA_FAILPOINT", f"{name}:{count}:{token}")
    song = write_song(make_song(SONG_FRAMES, seed=number), tmp_path / f"song {number}.wav")
    musician = Musician(start_server, song, tmp_path / f"stems {number}", f"request {number}")
    job_id, files = musician.get_stems()
    assert [event.seq for event in musician.events] == list(range(1, len(musician.events) + 1))
    seen = states(musician.events)
    assert seen[-1] is JobState.SUCCEEDED
    assert sum(state.is_terminal for state in seen) == 1
    np.testing.assert_array_equal(sum(read_audio(stem) for stem in files.stems.values()), read_audio(song))
    state_dir = tmp_path / "state"
    (attempt,) = (state_dir / "jobs" / job_id).iterdir()
    assert len(list(attempt.glob("stem-*"))) == len(files.stems)
    assert not list(state_dir.rglob("*.tmp"))
    with musician.server.client() as client:
        assert [job.job_id for job in client.list_jobs()].count(job_id) == 1
        client.delete(job_id)
    assert musician.server.stop() == 0
    return not token.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_this_place_loses_nothing(name, start_server, tmp_path, monkeypatch):
    assert survives(name, 1, start_server, tmp_path, monkeypatch), f"{name} was never reached"


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_many_kills_lose_nothing(start_server, tmp_path, monkeypatch):
    places = [(name, count) for name in NAMES for count in range(1, PASSES.get(name, 1) + 1)]
    chance = random.Random(KILLS_SEED)
    kills = 0
    for number in itertools.count():
        name, count = chance.choice(places)
        kills += survives(name, count, start_server, tmp_path, monkeypatch, number)
        print(f"{kills} of {KILLS} kills survived; the last at {name}, pass {count}", flush=True)
        if kills == KILLS:
            break
        assert number < 2 * KILLS, "too many places are never reached"
