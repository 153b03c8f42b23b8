"""Speed of adaptation and separation with the shipped network, and what matrix products allow."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from bench.songs import SAMPLE_RATE_HZ, write_noise_song
from ugosa_client import JobOptions, JobPhase, Mark, MarkState, Progress, SeparationRequest, UgosaClient
from ugosa_research.bench.results import Row
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.registry import ModelRegistry

SONG_S = 12
ROUNDS = 3
OPTIONS = JobOptions(epochs=3)

# In a process of its own: what the worker's kernels could reach if all work were one large matrix product.
MATMUL_PROBE = """
import time, torch
a, b = torch.randn(512, 256), torch.randn(256, 17640)  # a 1x1 convolution over four seconds
best = 1e9
for _ in range(50):
    start = time.perf_counter(); a @ b; best = min(best, time.perf_counter() - start)
print(512 * 256 * 17640 / best)
"""


def measure(target: str, scratch: Path) -> list[Row]:
    """Run a few whole jobs and read the phases' times from their events and reports."""
    steps_per_s: list[float] = []
    real_times: list[float] = []
    song = write_noise_song(scratch / "twelve seconds.wav", SONG_S)
    with UgosaClient(target) as client:
        model = next(model for model in client.models() if model.is_default)
        for number in range(ROUNDS):
            times: dict[int, float] = {}

            def on_event(event: object, times: dict[int, float] = times) -> None:
                if isinstance(event, Progress) and event.phase is JobPhase.ADAPTATION and event.time:
                    times[event.step] = event.time.timestamp()

            result = client.separate(
                SeparationRequest(
                    song, marks=[Mark("vocals", MarkState.SILENT, 0, SAMPLE_RATE_HZ)], options=OPTIONS
                ),
                scratch / f"stems {number}",
                on_event=on_event,
            )
            first, last = min(times), max(times)
            steps_per_s.append((last - first) / (times[last] - times[first]))
            report = json.loads(result.files.report_json.read_text(encoding="utf-8"))
            real_times.append(SONG_S / report["timings_s"]["separation"])
    config = ModelRegistry().get(model.name).config
    assert isinstance(config, ConvTasNetConfig)  # which uses each weight once a frame
    multiply_adds_per_s = model.parameters * model.sample_rate_hz / config.hop_samples
    return [
        Row(f"adaptation, {result.job.options.strategy}", "steps/s", statistics.median(steps_per_s)),
        Row(
            "separation, all phases of writing included",
            "x real time",
            statistics.median(real_times),
            floor=matmul_rate() / multiply_adds_per_s,
            floor_name="all multiply-adds of one pass at the speed of a plain matrix product",
        ),
    ]


def matmul_rate() -> float:
    """Return multiply-adds a second of torch's matrix product on this machine."""
    answer = subprocess.run([sys.executable, "-c", MATMUL_PROBE], capture_output=True, text=True, check=True)
    return float(answer.stdout)
