"""`band` on whole songs by its own options: separation, adaptation, and memory by the length of the song.

A process for each job, because a peak of memory stays.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ugosa_research.bench.noise_jobs import JobCost, job_cost
from ugosa_research.bench.results import Row
from ugosa_server.config import WorkerSettings
from ugosa_server.errors import UnknownModelError
from ugosa_server.jobs.options import JobOptionsRequest, resolve_job_options
from ugosa_server.jobs.runs import RunPhase
from ugosa_server.models.registry import ModelRegistry
from ugosa_server.pipeline.resident import ResidentNetworks

MODEL = "band"
SONG_S = 240
SHORT_SONG_S = 60
ROUNDS = 3  # of the separation
WANTED_SPEED = 8.0  # times real time
WANTED_ADAPTATION_S = 180.0
WANTED_MEMORY_MB = 1500.0
ROWS = ("band_separation", "band_adaptation", "band_memory")


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Run one job after the other; nothing without the model."""
    separation, adaptation, memory = ROWS
    try:
        ModelRegistry().get(MODEL)
    except UnknownModelError:
        print(
            f"{MODEL} is not here: its rows are left out (ugosa-server models pull {MODEL})", file=sys.stderr
        )
        return
    if wanted(separation):
        times = [sum(_cost(scratch, SONG_S, adapts=False).wall_s.values()) for _ in range(ROUNDS)]
        yield Row(
            separation,
            "x real time",
            SONG_S / statistics.median(times),
            floor=WANTED_SPEED,
            floor_name="what is wanted",
            detail=f"a song of {SONG_S} s, all phases: " + ", ".join(f"{time:.1f}" for time in times) + " s",
        )
    if not (wanted(adaptation) or wanted(memory)):
        return
    long = _cost(scratch, SONG_S, adapts=True)
    phases = ", ".join(f"{phase.name.lower().replace('_', ' ')} {s:.1f}" for phase, s in long.wall_s.items())
    yield Row(
        adaptation,
        "s",
        long.wall_s[RunPhase.ADAPTATION],
        floor=WANTED_ADAPTATION_S,
        floor_name="what is wanted at most",
        detail=f"a song of {SONG_S} s, all epochs and the guard; {long.cpu_s[RunPhase.ADAPTATION]:.0f} s of "
        f"CPU; parts of the job in s: {phases}",
    )
    if wanted(memory):
        short = _cost(scratch, SHORT_SONG_S, adapts=True)
        yield Row(
            memory,
            "MB",
            long.peak_mb,
            floor=WANTED_MEMORY_MB,
            floor_name="what is wanted at most",
            detail=f"a whole job on {SONG_S} s; {short.peak_mb:.0f} MB on {SHORT_SONG_S} s",
        )


def _cost(scratch: Path, song_s: int, *, adapts: bool) -> JobCost:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_run, scratch, song_s, adapts).result()


def _run(scratch: Path, song_s: int, adapts: bool) -> JobCost:
    model = ModelRegistry().get(MODEL)
    request = JobOptionsRequest(adaptation={} if adapts else {"strategy": "B0"})
    networks = ResidentNetworks(WorkerSettings("cpu"))
    return job_cost(scratch, networks, model, resolve_job_options(request, model), song_s)
