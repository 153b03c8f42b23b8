"""Adaptation by remixes against adaptation by Eq. 2, as jobs run both: seconds of CPU a second of song.

Songs are noise; time does not depend on what is heard. Each side is one job's ADAPTATION phase on `starter`.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ugosa_research.bench.results import Row
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.config import WorkerSettings
from ugosa_server.jobs.runs import JobOptions, RunPhase, RunProgress, RunSpec
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.registry import STARTER_DIR
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job

ROWS = ("remixes",)
RATE_HZ = 44_100
SONG_S = 32
EPOCHS = 10
SOURCES = ("drums", "bass", "other", "vocals")
OPTIONS = AdaptationOptions(epochs=EPOCHS, guard=False)


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Measure R- and the guard, each against P- without a guard."""
    if not wanted("remixes"):
        return
    networks = ResidentNetworks(WorkerSettings("cpu"))
    plain_s = _seconds(scratch, networks, OPTIONS)
    for name, options in (
        ("adaptation by remixes (R-L3:D)", replace(OPTIONS, strategy="R-L3:D")),
        ("adaptation by remixes under guard", replace(OPTIONS, strategy="R-L3:D", guard=True)),
        ("adaptation by marks (P-L3:D) under guard", replace(OPTIONS, guard=True)),
    ):
        took_s = _seconds(scratch, networks, options)
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield Row(
            name,
            "s of CPU a second of song",
            took_s / SONG_S,
            peer=plain_s / SONG_S,
            peer_name="adaptation by marks (P-L3:D) without a guard",
            detail=f"starter, {EPOCHS} epochs of {SONG_S} s; peak memory so far {memory_mb:.0f} MB",
        )


def _seconds(scratch: Path, networks: ResidentNetworks, options: AdaptationOptions) -> float:
    """CPU time of the ADAPTATION phase of a job, whose sources are each silent in a quarter of the song."""
    song = np.random.default_rng(0).normal(0, 0.1, (SONG_S * RATE_HZ, 2)).astype("<f4")
    path = scratch / "noise.f32"
    song.tofile(path)
    quarter = len(song) // 4
    marks = (Mark(s, MarkState.SILENT, i * quarter, (i + 1) * quarter) for i, s in enumerate(SOURCES))
    with tempfile.TemporaryDirectory(dir=scratch) as out_dir:
        spec = RunSpec(
            job_id="bench",
            attempt=1,
            source=SourceAudio(str(path), RATE_HZ, 2, len(song), "noise", float(np.abs(song).max())),
            file_name="noise",
            marks=tuple(marks),
            options=JobOptions("starter", adaptation=options),
            model_path=str(STARTER_DIR / "starter.safetensors"),
            out_dir=out_dir,
        )
        begun_s = ended_s = None
        for event in run_job(spec, networks, lambda: False):
            if isinstance(event, RunProgress):
                if event.phase is RunPhase.ADAPTATION and begun_s is None:
                    begun_s = time.process_time()
                if event.phase is RunPhase.SEPARATION and ended_s is None:
                    ended_s = time.process_time()
    assert begun_s is not None
    assert ended_s is not None
    return ended_s - begun_s
