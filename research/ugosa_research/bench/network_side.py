"""One side of the comparison of networks: our ConvTasNet or demucs 2.0.3's, asked in JSON over stdin.

    python research/ugosa_research/bench/network_side.py ours|peer THREADS

The peer runs in the throw-away environment of `demucs_2`, with this repository on its path: the song, the
objective and the cutting into segments are the same; network, optimiser and loop are what one has without us.
Both sides wait between questions, so that whoever asks can take turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugosa_server.adaptation.loop import adapt
from ugosa_server.adaptation.objective import silence_aware_objective
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.marks.activity import activity
from ugosa_server.models.config import Depth
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.separation.options import SeparationOptions
from ugosa_server.separation.overlap_add import SegmentPlan, separate_in_segments

SAMPLE_RATE_HZ = 44100
SEGMENT_S = 4
LEARNING_RATE = 1e-5
SEED = 5
CONFIG = ConvTasNetConfig()
RANGER = {"alpha": 0.5, "k": 6, "betas": (0.95, 0.999), "eps": 1e-5}
MATMUL = (1024, 256, 512)  # frames, B, H: a 1x1 convolution over frames that fit a core's cache
COPY_FLOATS = 1 << 24

Answer = dict[str, Any]


def song(duration_s: float) -> NDArray[np.float32]:
    """Stereo noise, normalised, [T, C]."""
    n_frames = round(duration_s * SAMPLE_RATE_HZ)
    return np.random.default_rng(0).standard_normal((n_frames, 2), dtype=np.float32)


def marks_of(mix: NDArray[np.float32]) -> MarkSet:
    """Return marks of a song: bass is silent in the first three seconds of every four."""
    starts = range(0, len(mix), SEGMENT_S * SAMPLE_RATE_HZ)
    silent_frames = 3 * SAMPLE_RATE_HZ
    return MarkSet(tuple(Mark(CONFIG.sources[1], MarkState.SILENT, a, a + silent_frames) for a in starts))


class Side:
    """A network, and how it is adapted."""

    network: nn.Module

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def weights(self, path: str) -> Answer:
        """Take part in sharing weights."""
        raise NotImplementedError

    def adapt(
        self, strategy: str, mix: NDArray[np.float32], epochs: int, max_steps: int | None = None
    ) -> Answer:
        """Adapt, for so many steps at most, and give the seconds that it took."""
        raise NotImplementedError

    def use(self, device: str) -> Answer:
        """Compute there from now on."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return {}

    def forward(self, duration_s: float, out: str) -> Answer:
        """Separate a segment once."""
        mix = torch.from_numpy(song(duration_s).T.copy())[None].to(self.device)
        with torch.inference_mode():
            begun_s = self.now_s()
            stems = self.network(mix)
            took_s = self.now_s() - begun_s
        torch.save(stems.cpu(), out)
        return {"s": took_s}

    def separate(self, duration_s: float) -> Answer:
        """Separate a song in overlapping segments."""
        options = SeparationOptions()
        begun_s = self.now_s()
        for _ in separate_in_segments(
            lambda mix, start: self.network(mix), song(duration_s), SAMPLE_RATE_HZ, options, 0, self.device
        ):
            pass
        return {"s": self.now_s() - begun_s}

    def adaptation(self, strategy: str, duration_s: float, epochs: int, out: str) -> Answer:
        """Adapt to a song, then separate its first segment and bring the base back.

        One step goes before, uncounted, as in a worker that has run a job: the first touch of memory, which
        a virtual machine has to ask its host for, may take longer than ten epochs.
        """
        mix = song(duration_s)
        with self._base_kept(strategy):
            self.adapt(strategy, mix, 1, 1)
        with self._base_kept(strategy):
            answer = self.adapt(strategy, mix, epochs)
            self.forward(SEGMENT_S, out)
        return answer

    @contextmanager
    def _base_kept(self, strategy: str) -> Iterator[None]:
        base = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        yield
        self.network.load_state_dict(base)

    def adaptation_peak(self, strategy: str, duration_s: float, steps: int) -> Answer:
        """Make the first steps of an adaptation to a long song, and give the peak memory up to there."""
        self.adapt(strategy, song(duration_s), 1, steps)
        return self.peak_mb()

    def peak_mb(self) -> Answer:
        """The largest resident set so far."""
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return {"mb": int(line.split()[1]) * 1024 / 1e6}
        raise RuntimeError("/proc/self/status has no VmHWM: peak memory can be measured on Linux only")

    def rates(self) -> Answer:
        """Limits of the device: multiply-adds a second of a matrix product, bytes a second of a copy."""
        frames, before, after = MATMUL
        if self.device.type == "cuda":
            frames *= 16
        a, b, c = (
            torch.randn(shape, device=self.device)
            for shape in ((frames, before), (before, after), (frames, after))
        )
        source, target = (torch.randn(COPY_FLOATS, device=self.device) for _ in range(2))
        return {
            "multiply_adds_per_s": frames * before * after / self.fastest_s(lambda: torch.mm(a, b, out=c)),
            "bytes_per_s": 2 * source.nbytes / self.fastest_s(lambda: target.copy_(source)),
        }

    def fastest_s(self, work: Any) -> float:
        """The fastest of many runs."""
        took = []
        for _ in range(50):
            begun_s = self.now_s()
            work()
            took.append(self.now_s() - begun_s)
        return min(took)

    def now_s(self) -> float:
        """The time when everything that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


class Ours(Side):
    """This repository, as a job uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ConvTasNet(CONFIG).eval().requires_grad_(False)

    def weights(self, path: str) -> Answer:
        """Read the peer's."""
        self.network.load_state_dict(torch.load(path, weights_only=True))
        return {}

    def adapt(
        self, strategy: str, mix: NDArray[np.float32], epochs: int, max_steps: int | None = None
    ) -> Answer:
        """Adapt with the loop of a job; also the seconds of a prefix and of a step."""
        assert isinstance(self.network, ConvTasNet)
        options = AdaptationOptions(strategy, learning_rate=LEARNING_RATE, epochs=epochs, segment_s=SEGMENT_S)
        trained = self.network.trained_parameters(_depth(strategy))
        for parameter in trained.values():
            parameter.requires_grad_(True)
        begun_s = self.now_s()
        times = [begun_s]
        n_segments = 0
        for step in islice(adapt(self.network, trained, mix, marks_of(mix), options, SEED), max_steps):
            times.append(self.now_s())
            n_segments += step.epoch == 1
        self.network.requires_grad_(False)
        first = statistics.median(np.diff(times[: n_segments + 1]))
        later = statistics.median(np.diff(times[n_segments:])) if epochs > 1 else first
        return {"s": times[-1] - begun_s, "prefix_s": first - later, "step_s": later}


class Peer(Side):
    """demucs 2.0.3's class in a plain loop: all of it forward in every step, torch_optimizer's Ranger."""

    def __init__(self) -> None:
        super().__init__()
        # demucs.utils imports both for training; nothing of them is used here.
        stand_ins: dict[str, Any] = {
            "diffq": types.SimpleNamespace(UniformQuantizer=None, DiffQuantizer=None),
            "tqdm": types.SimpleNamespace(),
        }
        sys.modules.update(stand_ins)
        from demucs.tasnet import ConvTasNet as PublishedConvTasNet

        for name in stand_ins:
            del sys.modules[name]
        torch.manual_seed(0)
        self.network = PublishedConvTasNet(list(CONFIG.sources), X=CONFIG.blocks_per_repeat).eval()
        self.network.requires_grad_(False)

    def weights(self, path: str) -> Answer:
        """Write them."""
        torch.save(self.network.state_dict(), path)
        return {}

    def adapt(
        self, strategy: str, mix: NDArray[np.float32], epochs: int, max_steps: int | None = None
    ) -> Answer:
        """Adapt with a plain loop; also the seconds of a step."""
        import torch_optimizer

        parameters = dict(self.network.named_parameters())
        prefixes = CONFIG.trained_prefixes(_depth(strategy))
        trained = [p.requires_grad_(True) for name, p in parameters.items() if name.startswith(prefixes)]
        optimiser = torch_optimizer.Ranger(trained, lr=LEARNING_RATE, **RANGER)
        segment = SEGMENT_S * SAMPLE_RATE_HZ
        starts, marks = SegmentPlan.covering(len(mix), segment, segment).starts, marks_of(mix)
        shuffle = np.random.default_rng(SEED)
        steps_s = []
        begun_s = self.now_s()
        order = (starts[index] for _ in range(epochs) for index in shuffle.permutation(len(starts)).tolist())
        for start in islice(order, max_steps):
            step_s = self.now_s()
            y = self._tensor(mix[start : start + segment].T)
            h = self._tensor(activity(marks, CONFIG.sources, start, start + segment))
            total, *_ = silence_aware_objective(self.network(y), y, h, 1.0)
            optimiser.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total.item()  # which every loop that shows its loss does
            steps_s.append(self.now_s() - step_s)
        self.network.requires_grad_(False)
        return {"s": self.now_s() - begun_s, "step_s": statistics.median(steps_s)}

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values))[None].to(self.device)


def _depth(strategy: str) -> Depth:
    depth = parse_strategy(strategy).depth
    assert depth is not None
    return depth


def main() -> None:
    """Answer questions until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    name, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    side: Side = {"ours": Ours, "peer": Peer}[name]()
    for line in sys.stdin:
        question = json.loads(line)
        answer = getattr(side, question.pop("do"))(**question)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
