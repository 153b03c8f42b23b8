"""Songs of the page, asked for by several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.helpers.songs import make_song, write_song
from ugosa_client import JobOptions, SeparationRequest, UgosaClient
from ugosa_client.resources import UNADAPTED, Job
from ugosa_client.web.songs import Songs

PATIENCE_S = 60.0  # of a test that fails


def test_a_star_outlasts_an_older_answer(
    client: UgosaClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write_song(make_song(4410), tmp_path / "song.wav")
    job = client.submit(SeparationRequest(song, options=JobOptions(strategy=UNADAPTED)))
    list(client.watch(job.job_id))
    songs, is_answered, is_starred = Songs(client, tmp_path / "notes"), Event(), Event()
    get_job = UgosaClient.get_job

    def get_job_slowly_once(self: UgosaClient, job_id: str) -> Job:
        found = get_job(self, job_id)
        if not is_answered.is_set():
            is_answered.set()
            assert is_starred.wait(PATIENCE_S)
        return found

    monkeypatch.setattr(UgosaClient, "get_job", get_job_slowly_once)
    with ThreadPoolExecutor() as pool:
        older = pool.submit(songs.job, job.job_id)
        assert is_answered.wait(PATIENCE_S)
        assert songs.star(job.job_id, True).starred
        is_starred.set()
        older.result()
    assert songs.job(job.job_id).starred
