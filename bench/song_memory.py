"""Peak memory of adapting the published network to a four-minute song, against demucs 2.0.3's class.

A process for each number, because a peak stays. The peer's steps all need the same; it makes a few. Ours
keeps features of every segment on top, up to the budget, so with P-L3:D it makes a whole epoch, after which
nothing is added; with P-L1:D, where kept features are as large and the steps much larger, a few.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import torch

from bench.demucs_2 import NetworkSide, make_environment
from bench.network_side import SEGMENT_S
from bench.networks import PEER, feature_bytes
from bench.results import Row
from ugosa_server.adaptation.prefix_cache import DEFAULT_BUDGET_BYTES

SONG_S = 240
FEW_STEPS = 3
OUR_STEPS = {"P-L3:D": SONG_S // SEGMENT_S, "P-L1:D": FEW_STEPS}
ROWS = tuple(f"cpu_memory_{strategy}" for strategy in OUR_STEPS)


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Measure the rows whose names are wanted."""
    if not any(wanted(name) for name in ROWS):
        return
    peers_python = make_environment(scratch / "demucs 2.0.3 for memory")
    for name, (strategy, steps) in zip(ROWS, OUR_STEPS.items(), strict=True):
        if not wanted(name):
            continue
        ours = _peak_mb(sys.executable, "ours", strategy, steps)
        peer = _peak_mb(peers_python, "peer", strategy, FEW_STEPS)
        kept_mb = min(steps, DEFAULT_BUDGET_BYTES // feature_bytes()) * feature_bytes() / 1e6
        yield Row(
            name,
            "MB",
            ours,
            peer,
            PEER,
            peer + DEFAULT_BUDGET_BYTES / 1e6,
            "the peer's, and the budget of kept features",
            detail=f"a song of {SONG_S} s, {steps} steps against {FEW_STEPS}; ours with {kept_mb:.0f} MB of "
            f"kept features, of a budget of {DEFAULT_BUDGET_BYTES / 1e6:.0f} MB",
        )


def _peak_mb(python: Path | str, name: str, strategy: str, steps: int) -> float:
    with closing(NetworkSide(python, name, torch.get_num_threads())) as side:
        peak_mb: float = side.ask("adaptation_peak", strategy=strategy, duration_s=SONG_S, steps=steps)["mb"]
        return peak_mb
