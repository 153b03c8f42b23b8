"""Peak memory of adapting the published network to a four-minute song, against demucs 2.0.3's class.

A process for each number, because a peak stays. With the whole song in memory both sides make their first
steps; all later ones need the same, but that ours keeps the features of one more segment each, up to the
budget. What the budget has left then is counted as if it were full.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import torch

from ugosa_research.bench.demucs_2 import NetworkSide, make_environment
from ugosa_research.bench.networks import PEER, feature_bytes
from ugosa_research.bench.results import Row
from ugosa_server.config import WorkerSettings

SONG_S = 240
STEPS = 2  # the first also makes the optimiser's state, and the second has it from the beginning
BUDGET_MB = WorkerSettings.prefix_cache_bytes / 1e6
ROWS = {f"cpu_memory_{strategy}": strategy for strategy in ("P-L3:D", "P-L1:D")}


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Measure the rows whose names are wanted."""
    if not any(wanted(name) for name in ROWS):
        return
    peers_python = make_environment(scratch / "demucs 2.0.3 for memory")
    for name, strategy in ROWS.items():
        if not wanted(name):
            continue
        ours, peer = (
            _peak_mb(python, side, strategy)
            for python, side in ((sys.executable, "ours"), (peers_python, "peer"))
        )
        kept_mb = STEPS * feature_bytes() / 1e6
        yield Row(
            name,
            "MB",
            ours + BUDGET_MB - kept_mb,
            peer,
            PEER,
            peer + BUDGET_MB,
            "the peer's, and the budget of kept features",
            detail=f"a song of {SONG_S} s in memory, {STEPS} steps: {ours:.0f} MB measured with "
            f"{kept_mb:.0f} MB of kept features; the budget of {BUDGET_MB:.0f} MB counted as full",
        )


def _peak_mb(python: Path | str, name: str, strategy: str) -> float:
    with closing(NetworkSide(python, name, torch.get_num_threads())) as side:
        peak_mb: float = side.ask("adaptation_peak", strategy=strategy, duration_s=SONG_S, steps=STEPS)["mb"]
        return peak_mb
