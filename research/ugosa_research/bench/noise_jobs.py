"""Costs of a job on noise, as a worker runs it; time does not depend on what is heard."""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ugosa_research.bench.peak_memory import peak_mb
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.jobs.runs import JobOptions, RunFailed, RunPhase, RunProgress, RunSpec
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.registry import ModelInfo
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job

RATE_HZ = 44_100


@dataclass(frozen=True)
class JobCost:
    """Cost of one job."""

    wall_s: dict[RunPhase, float]
    """Seconds of each phase."""
    cpu_s: dict[RunPhase, float]
    """Seconds of CPU of each phase."""
    peak_mb: float
    """The largest memory that this process has had so far."""


def job_cost(
    scratch: Path, networks: ResidentNetworks, model: ModelInfo, options: JobOptions, song_s: int
) -> JobCost:
    """Run a job whose sources are silent one after the other, each in an equal part of the song."""
    song = np.random.default_rng(0).normal(0, 0.1, (song_s * RATE_HZ, 2)).astype("<f4")
    path = scratch / "noise.f32"
    song.tofile(path)
    part = len(song) // len(model.sources)
    marks = tuple(
        Mark(source, MarkState.SILENT, i * part, (i + 1) * part) for i, source in enumerate(model.sources)
    )
    source = SourceAudio(str(path), RATE_HZ, 2, len(song), "noise", float(np.abs(song).max()))
    del song
    begun: list[tuple[RunPhase | None, float, float]] = []
    with tempfile.TemporaryDirectory(dir=scratch) as out_dir:
        spec = RunSpec("bench", 1, source, "noise", marks, options, str(model.path), out_dir)
        networks.load(spec.model_path)  # as it is in a worker before a job comes
        for event in run_job(spec, networks, lambda wish: False):
            if isinstance(event, RunFailed):
                raise RuntimeError(event.message)
            if isinstance(event, RunProgress) and (not begun or begun[-1][0] is not event.phase):
                begun.append((event.phase, time.perf_counter(), time.process_time()))
    begun.append((None, time.perf_counter(), time.process_time()))
    wall_s, cpu_s = {}, {}
    for (phase, wall, cpu), (_, next_wall, next_cpu) in itertools.pairwise(begun):
        assert phase is not None
        wall_s[phase], cpu_s[phase] = next_wall - wall, next_cpu - cpu
    return JobCost(wall_s, cpu_s, peak_mb())
