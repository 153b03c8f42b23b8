"""Gain of a second worker: jobs an hour of two single-threaded Ray workers against one."""

from __future__ import annotations

import time
from pathlib import Path

from bench.songs import SAMPLE_RATE_HZ, write_noise_song
from ugosa_client import ArrayItem, JobOptions, JobState, Mark, MarkState, UgosaClient
from ugosa_research.bench.results import Row
from ugosa_server.private_server import ServerProcess

SONG_S = 12
JOBS = 4
OPTIONS = JobOptions(epochs=10)
MARKS = (Mark("vocals", MarkState.SILENT, 0, SAMPLE_RATE_HZ),)


def measure(scratch: Path) -> list[Row]:
    """Run the same job array on one worker and on two."""
    one, two = (_jobs_per_hour(scratch, workers) for workers in (1, 2))
    return [
        Row(
            "two Ray workers of one thread each",
            "jobs/h",
            two,
            peer=one,
            peer_name="one such worker",
            floor=2 * one,
            floor_name="twice one worker",
        )
    ]


def _jobs_per_hour(scratch: Path, workers: int) -> float:
    song = write_noise_song(scratch / "song for workers.wav", SONG_S)
    arguments = ["--engine", "ray", "--ray-workers", str(workers), "--threads", "1", "--device", "cpu"]
    with ServerProcess(scratch / f"state of {workers} workers", arguments) as server:
        server.wait_ready()
        with UgosaClient(server.target) as client:
            item = ArrayItem(client.upload(song).upload_id, MARKS)
            warm = client.create_array([item] * workers, options=JobOptions(epochs=1))
            for _ in client.watch_array(warm.array_id):
                pass
            start_s = time.monotonic()
            array = client.create_array([item] * JOBS, options=OPTIONS)
            for _ in client.watch_array(array.array_id):
                pass
            elapsed_s = time.monotonic() - start_s
            assert client.get_array(array.array_id).counts == {JobState.SUCCEEDED: JOBS}
    return 3600 * JOBS / elapsed_s
