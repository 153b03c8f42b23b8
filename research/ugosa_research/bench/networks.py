"""The published network forward, adapted and separating, against demucs 2.0.3's class in a plain loop.

Rows are rates, so that `ratio` is how many times faster we are, and `floor` what the machine allows: the
work's multiply-adds at the rate of a plain matrix product, or the features that must go through memory at the
rate of a copy, whichever is slower.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ugosa_research.bench.demucs_2 import NetworkSide, make_environment
from ugosa_research.bench.results import Row
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig

CONFIG = ConvTasNetConfig()
PEER = "demucs 2.0.3's class in a plain loop, float32"
FLOOR = "its multiply-adds at the rate of a plain matrix product, its features at the rate of a copy"
SEGMENT_S = 4
EPOCHS = 10
FORWARD_ROUNDS = 2
GPU_SONG_S = 240
STRATEGIES = ("P-L3:D", "P-L2:D", "P-L1:D")
TOLERANCES = {"forward": 1e-4, "adaptation": 1e-3}  # relative to the largest sample


@dataclass(frozen=True)
class Work:
    """Least cost of a piece of work."""

    multiply_adds: float
    """In the matrix products."""
    bytes: float
    """Features that do not fit the cache between two looks at them."""

    def __add__(self, other: Work) -> Work:
        return Work(self.multiply_adds + other.multiply_adds, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.multiply_adds * times, self.bytes * times)

    def seconds(self, rates: dict[str, float]) -> float:
        """On a machine of these rates."""
        return max(self.multiply_adds / rates["multiply_adds_per_s"], self.bytes / rates["bytes_per_s"])


def front() -> Work:
    """Encoder and bottleneck of a segment."""
    n, b = CONFIG.encoder_filters, CONFIG.bottleneck_channels
    filters = CONFIG.audio_channels * CONFIG.encoder_length * n
    return Work(_frames() * (filters + n * b), 4 * _frames() * (n + b))


def block_forward() -> Work:
    """One block: x is read twice and written, y and p are written and read (`fast_blocks`)."""
    b, h = CONFIG.bottleneck_channels, CONFIG.block_channels
    return Work(_frames() * 2 * b * h, 4 * _frames() * (5 * b + 2 * h))


def block_backward() -> Work:
    """Twice the matrix products; p and t are read twice, d q and g also written, x read."""
    b, h = CONFIG.bottleneck_channels, CONFIG.block_channels
    return Work(_frames() * 4 * b * h, 4 * _frames() * (5 * b + 6 * h))


def tail() -> Work:
    """Masks and decoder."""
    n, s = CONFIG.encoder_filters, len(CONFIG.sources)
    frame = CONFIG.audio_channels * CONFIG.encoder_length
    return Work(
        _frames() * s * n * (CONFIG.bottleneck_channels + frame),
        4 * _frames() * (CONFIG.bottleneck_channels + n + 2 * s * frame),
    )


def forward() -> Work:
    """A segment through all of the network."""
    return front() + block_forward() * _blocks() + tail()


def step(strategy: str) -> Work:
    """A training step on kept features."""
    trained = _blocks() - _frozen(strategy)
    return (block_forward() + block_backward()) * trained + tail() * 3


def prefix(strategy: str) -> Work:
    """Work done once a segment."""
    return front() + block_forward() * _frozen(strategy)


def measure(scratch: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Measure the rows whose names are wanted, on the CPU and on a GPU if there is one."""
    with _sides(scratch) as (ours, peer):
        comparison = _Comparison(ours, peer, scratch)
        rates = ours.ask("rates")
        yield Row("matrix product of a block", "G multiply-adds/s", rates["multiply_adds_per_s"] / 1e9)
        yield Row("copy in memory", "GB/s", rates["bytes_per_s"] / 1e9)
        if wanted("cpu_forward"):
            for duration_s in (4, 8):
                yield comparison.forward(duration_s, rates)
        for strategy in STRATEGIES:
            if wanted(f"cpu_adapt_{strategy}"):
                yield from comparison.adaptation("cpu", strategy, SEGMENT_S, rates)
        if torch.cuda.is_available():
            for side in (ours, peer):
                side.ask("use", device="cuda")
            rates = ours.ask("rates")
            if wanted("cuda_adapt_P-L3:D"):
                yield from comparison.adaptation("cuda", "P-L3:D", GPU_SONG_S, rates)
            if wanted("cuda_separate"):
                yield comparison.separation(rates)


@contextmanager
def _sides(scratch: Path) -> Iterator[tuple[NetworkSide, NetworkSide]]:
    threads = torch.get_num_threads()
    ours = NetworkSide(sys.executable, "ours", threads)
    peer = NetworkSide(make_environment(scratch / "demucs 2.0.3"), "peer", threads)
    try:
        for side in (peer, ours):
            side.ask("weights", path=str(scratch / "weights.pt"))
        yield ours, peer
    finally:
        ours.close()
        peer.close()


class _Comparison:
    """Takes turns between the sides, and sees to it that both come to the same stems."""

    def __init__(self, ours: NetworkSide, peer: NetworkSide, scratch: Path) -> None:
        self._ours, self._peer = ours, peer
        self._stems = {side: str(scratch / f"{name}.pt") for side, name in ((ours, "ours"), (peer, "peer"))}

    def forward(self, duration_s: int, rates: dict[str, float]) -> Row:
        took: dict[NetworkSide, list[float]] = {self._ours: [], self._peer: []}
        for _ in range(FORWARD_ROUNDS):
            for side, times in took.items():
                times.append(side.ask("forward", duration_s=duration_s, out=self._stems[side])["s"])
        ours, peer = (duration_s / statistics.median(times) for times in took.values())
        difference = self._difference("forward")
        return Row(
            "cpu_forward",
            "x real time",
            ours,
            peer,
            PEER,
            SEGMENT_S / forward().seconds(rates),
            FLOOR,
            detail=f"{duration_s} s of stereo: {duration_s / ours:.2f} s against {duration_s / peer:.2f} s; "
            f"stems differ by {difference:.1e} at most",
        )

    def adaptation(
        self, device: str, strategy: str, duration_s: int, rates: dict[str, float]
    ) -> Iterator[Row]:
        """All phases of an adaptation, then the prefix and the step by themselves."""
        arguments = {"strategy": strategy, "duration_s": duration_s, "epochs": EPOCHS}
        ours = self._ours.ask("adaptation", **arguments, out=self._stems[self._ours])
        peer = self._peer.ask("adaptation", **arguments, out=self._stems[self._peer])
        difference = self._difference("adaptation")
        segments = duration_s // SEGMENT_S
        steps = EPOCHS * segments
        name = f"{device}_adapt_{strategy}"
        all_work = prefix(strategy) * segments + step(strategy) * steps
        yield Row(
            name,
            "steps/s",
            steps / ours["s"],
            steps / peer["s"],
            PEER,
            steps / all_work.seconds(rates),
            FLOOR,
            detail=f"{EPOCHS} epochs of {duration_s} s: {ours['s']:.1f} s against {peer['s']:.1f} s; adapted "
            f"stems differ by {difference:.1e} at most",
        )
        for phase, took_s, work in (
            ("frozen prefix, once", ours["prefix_s"], prefix(strategy)),
            ("step", ours["step_s"], step(strategy)),
        ):
            yield Row(f"{name}: {phase}", "a second", 1 / took_s, None, None, 1 / work.seconds(rates), FLOOR)
        if device == "cpu":
            yield Row(
                f"{name}: peak memory, kept features apart",
                "MB",
                self._ours.ask("peak_mb")["mb"],
                self._peer.ask("peak_mb")["mb"],
                PEER,
            )

    def separation(self, rates: dict[str, float]) -> Row:
        """A song in overlapping segments, on the GPU."""
        ours, peer = (
            GPU_SONG_S / side.ask("separate", duration_s=GPU_SONG_S)["s"] for side in (self._ours, self._peer)
        )
        floor = (1 - 0.25) * SEGMENT_S / forward().seconds(rates)
        return Row("cuda_separate", "x real time", ours, peer, PEER, floor, FLOOR)

    def _difference(self, kind: str) -> float:
        ours, peer = (torch.load(path, weights_only=True) for path in self._stems.values())
        difference = float((ours - peer).abs().max() / peer.abs().max())
        if difference > TOLERANCES[kind]:
            raise RuntimeError(
                f"{kind}: stems differ by {difference:.1e} of their peak; {TOLERANCES[kind]:g} is allowed"
            )
        return difference


def feature_bytes() -> int:
    """Bytes of the frozen layers' output of a segment."""
    return 4 * _frames() * CONFIG.bottleneck_channels


def _frames() -> int:
    samples = SEGMENT_S * CONFIG.sample_rate_hz
    return (samples - CONFIG.encoder_length) // CONFIG.hop_samples + 1


def _blocks() -> int:
    return CONFIG.repeats * CONFIG.blocks_per_repeat


def _frozen(strategy: str) -> int:
    depth = parse_strategy(strategy).depth
    assert depth is not None
    return CONFIG.frozen_repeats(depth) * CONFIG.blocks_per_repeat
