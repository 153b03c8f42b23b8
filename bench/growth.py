"""Growth of a job's cost with its song, and of a queue's with its jobs, with the shipped model.

An epoch costs what the others cost but for the features that the first one keeps, so two tell of ten.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.memory import after_jobs
from bench.songs import SAMPLE_RATE_HZ, write_noise_song
from ugosa_client import (
    JobEvent,
    JobOptions,
    Mark,
    MarkState,
    Progress,
    SeparationRequest,
    StateChanged,
    UgosaClient,
)
from ugosa_research.bench.results import Row
from ugosa_server.private_server import ServerProcess

SONGS_S = (15, 60, 240, 900)
LONG_SONGS_S = (3600,)
QUEUES = (1, 2, 4, 8)
QUEUED_SONG_S = 15
OPTIONS = JobOptions(epochs=2)
MARKS = [Mark("vocals", MarkState.SILENT, 0, SAMPLE_RATE_HZ)]


def measure(server: ServerProcess, scratch: Path, *, long: bool) -> Iterator[Row]:
    """Run jobs, longer and longer, then more and more at once; the longest songs last."""
    with UgosaClient(server.target, timeout_s=600) as client:
        for song_s in SONGS_S:
            yield from _one_song(client, server, scratch, song_s)
        yield from _queues(client, scratch)
        for song_s in LONG_SONGS_S if long else ():
            yield from _one_song(client, server, scratch, song_s)


def _queues(client: UgosaClient, scratch: Path) -> Iterator[Row]:
    song = write_noise_song(scratch / "queued.wav", QUEUED_SONG_S)
    for n_jobs in QUEUES:
        begun_s = time.perf_counter()
        jobs = [client.submit(SeparationRequest(song, marks=MARKS, options=OPTIONS)) for _ in range(n_jobs)]
        for job in jobs:
            for _ in client.watch(job.job_id):
                pass  # up to its end
        took_s = time.perf_counter() - begun_s
        yield Row(f"queue_{n_jobs}", "s", took_s, detail=f"{n_jobs} jobs of {QUEUED_SONG_S} s, all done")


def _one_song(client: UgosaClient, server: ServerProcess, scratch: Path, song_s: int) -> Iterator[Row]:
    """A job from the upload to fetched stems, where its time went, and memory so far."""
    song = write_noise_song(scratch / f"{song_s} s.wav", song_s)
    begun_s: dict[str, float] = {}  # the parts of the job, by when they began at the server

    def on_event(event: JobEvent) -> None:
        assert event.time is not None
        if isinstance(event, Progress):
            begun_s.setdefault(event.phase.replace("_", " "), event.time.timestamp())
        elif isinstance(event, StateChanged) and event.state.is_terminal:
            begun_s["fetching"] = event.time.timestamp()

    begun_s["upload, to the first phase"] = time.time()
    job = client.submit(SeparationRequest(song, marks=MARKS, options=OPTIONS))
    client.finish(job, scratch / f"stems of {song_s} s", on_event=on_event)
    ended_s = time.time()
    song.unlink()
    begins = list(begun_s.values())
    parts = ", ".join(
        f"{part} {after_s - part_s:.1f}"
        for (part, part_s), after_s in zip(begun_s.items(), [*begins[1:], ended_s], strict=True)
    )
    yield Row(
        f"job_{song_s}_s", "s", ended_s - begins[0], detail=f"{OPTIONS.epochs} epochs; parts in s: {parts}"
    )
    for row in after_jobs(server):
        process = "worker" if "worker" in row.name else "front process"
        yield Row(f"job_{song_s}_s: peak memory of the {process} so far", row.unit, row.ours)
