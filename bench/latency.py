"""Latency of a unary call while the worker trains, against the same call when it is idle."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from bench.songs import write_noise_song
from ugosa_client import JobOptions, JobPhase, Mark, MarkState, Progress, UgosaClient
from ugosa_research.bench.results import Row

CALLS = 500
ROUNDS = 3
SONG_S = 8
ENDLESS = JobOptions(epochs=1000)


def measure(target: str, scratch: Path) -> list[Row]:
    """Ask for a job's state by turns while nothing runs and while the network is adapted."""
    idle: list[tuple[float, float]] = []
    training: list[tuple[float, float]] = []
    with UgosaClient(target) as client:
        upload_id = client.upload(write_noise_song(scratch / "eight seconds.wav", SONG_S)).upload_id
        marks = [Mark("vocals", MarkState.SILENT, 0, 44100)]
        for _ in range(ROUNDS):
            job = client.create_job(upload_id, marks=marks, options=ENDLESS)
            wait_for_training(client, job.job_id)
            training.append(percentiles_ms(client, job.job_id))
            client.cancel(job.job_id)
            for _ in client.watch(job.job_id):
                pass  # up to its end, when the worker is idle again
            idle.append(percentiles_ms(client, job.job_id))
    rows = []
    for column, name in enumerate(("p50", "p99")):
        ours, peer = (statistics.median(pair[column] for pair in pairs) for pairs in (training, idle))
        rows.append(Row(f"GetJob {name} while a job trains", "ms", ours, peer, "the same call, worker idle"))
    return rows


def wait_for_training(client: UgosaClient, job_id: str) -> None:
    """Return after the first adaptation step of a job."""
    for event in client.watch(job_id):
        if isinstance(event, Progress) and event.phase is JobPhase.ADAPTATION and event.step > 0:
            return
    raise RuntimeError(f"job {job_id} ended before it trained: {client.get_job(job_id).failure}")


def percentiles_ms(client: UgosaClient, job_id: str) -> tuple[float, float]:
    """Return the median and the 99th percentile of many calls, in milliseconds."""
    took_s = []
    for _ in range(CALLS):
        start_s = time.perf_counter()
        client.get_job(job_id)
        took_s.append(time.perf_counter() - start_s)
    p50, p99 = np.percentile(took_s, [50, 99])
    return 1000 * float(p50), 1000 * float(p99)
