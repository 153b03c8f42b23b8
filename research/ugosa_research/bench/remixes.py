"""Adaptation by remixes against adaptation by Eq. 2, as jobs run both: seconds of CPU a second of song.

Each side is one job's ADAPTATION phase on `starter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ugosa_research.bench.noise_jobs import JobCost, job_cost
from ugosa_research.bench.results import Row
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.config import WorkerSettings
from ugosa_server.jobs.runs import JobOptions, RunPhase
from ugosa_server.models.registry import FALLBACK, ModelRegistry
from ugosa_server.pipeline.resident import ResidentNetworks

ROWS = ("remixes",)
SONG_S = 32
EPOCHS = 10
OPTIONS = AdaptationOptions(epochs=EPOCHS, guard=False)


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Measure R- and the guard, each against P- without a guard."""
    if not wanted("remixes"):
        return
    networks = ResidentNetworks(WorkerSettings("cpu"))
    plain_s = _cost(scratch, networks, OPTIONS).cpu_s[RunPhase.ADAPTATION]
    for name, options in (
        ("adaptation by remixes (R-L3:D)", replace(OPTIONS, strategy="R-L3:D")),
        ("adaptation by remixes under guard", replace(OPTIONS, strategy="R-L3:D", guard=True)),
        ("adaptation by marks (P-L3:D) under guard", replace(OPTIONS, guard=True)),
    ):
        cost = _cost(scratch, networks, options)
        yield Row(
            name,
            "s of CPU a second of song",
            cost.cpu_s[RunPhase.ADAPTATION] / SONG_S,
            peer=plain_s / SONG_S,
            peer_name="adaptation by marks (P-L3:D) without a guard",
            detail=f"starter, {EPOCHS} epochs of {SONG_S} s; peak memory so far {cost.peak_mb:.0f} MB",
        )


def _cost(scratch: Path, networks: ResidentNetworks, adaptation: AdaptationOptions) -> JobCost:
    model = ModelRegistry().get(FALLBACK)
    return job_cost(scratch, networks, model, JobOptions(FALLBACK, adaptation=adaptation), SONG_S)
