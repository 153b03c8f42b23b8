"""How the cost of a job grows with the song, and of a queue with its jobs; with the model that is shipped."""

from __future__ import annotations

import json
import time
from pathlib import Path

from bench.memory import after_jobs
from bench.results import Row
from bench.songs import SAMPLE_RATE_HZ, write_noise_song
from ugosa_client import Mark, MarkState, UgosaClient
from ugosa_server.demo.server_process import ServerProcess

SONGS_S = (15, 60, 240, 900)
LONG_SONGS_S = (3600,)
QUEUES = (1, 2, 4, 8)
QUEUED_SONG_S = 15
MARKS = [Mark("vocals", MarkState.SILENT, 0, SAMPLE_RATE_HZ)]


def measure(server: ServerProcess, scratch: Path, *, long: bool) -> list[Row]:
    """Run jobs with default options, longer and longer, then more and more at once."""
    rows = []
    with UgosaClient(server.target, timeout_s=600) as client:
        for song_s in SONGS_S + (LONG_SONGS_S if long else ()):
            rows.append(_one_song(client, scratch, song_s))
            rows += [
                Row(f"job_{song_s}_s: {row.name}", row.unit, row.ours)
                for row in after_jobs(server)
                if "worker" in row.name
            ]
        song = write_noise_song(scratch / "queued.wav", QUEUED_SONG_S)
        for n_jobs in QUEUES:
            begun_s = time.perf_counter()
            jobs = [client.submit(song, marks=MARKS) for _ in range(n_jobs)]
            for job in jobs:
                for _ in client.watch(job.job_id):
                    pass  # up to its end
            took_s = time.perf_counter() - begun_s
            rows.append(
                Row(f"queue_{n_jobs}", "s", took_s, detail=f"{n_jobs} jobs of {QUEUED_SONG_S} s, all done")
            )
    return rows


def _one_song(client: UgosaClient, scratch: Path, song_s: int) -> Row:
    song = write_noise_song(scratch / f"{song_s} s.wav", song_s)
    begun_s = time.perf_counter()
    result = client.separate(song, scratch / f"stems of {song_s} s", marks=MARKS)
    took_s = time.perf_counter() - begun_s
    song.unlink()
    timings_s = json.loads(result.files.report_json.read_text(encoding="utf-8"))["timings_s"]
    phases = ", ".join(f"{phase.replace('_', ' ')} {phase_s:.1f}" for phase, phase_s in timings_s.items())
    return Row(f"job_{song_s}_s", "s", took_s, detail=f"upload to fetched stems; phases in s: {phases}")
