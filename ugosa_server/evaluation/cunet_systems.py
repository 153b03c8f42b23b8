"""What is compared on an ensemble: Conditioned U-Nets, and the two bounds of the paper's Table 1.

A network hears each segment of 65,535 samples at the level that the whole piece is brought to, as in the
server, and its predictions are brought back to the level of the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ugosa_server.models.conditioned_unet import ConditionedUNet
from ugosa_server.models.conditioned_unet_config import ConditionedUNetConfig
from ugosa_server.models.cunet_front_end import (
    MIX_RMS,
    magnitudes,
    masks_of_logits,
    spectrum,
    target_masks,
    values,
    waveform,
)

Array = NDArray[np.float64]
IBM, INPUT_MIX = "IBM", "input mix"
RIGHT, ALL_ONES = "right labels", "all-ones labels"
IDEAL = ConditionedUNetConfig(frequency_scale="linear", mask="binary")  # no loss by warping

Predict = Callable[[Array, Array, Array, float], Array]
"""Mix [T], truths [K, T], labels [K], gain to the level of the network -> predictions [K, T]."""


@dataclass(frozen=True)
class System:
    """One column of figures."""

    name: str
    predict: Predict
    config: ConditionedUNetConfig | None = None
    """Of a network."""
    labels: str = RIGHT
    """What a network is told."""
    hard: bool = False
    """Whether its masks are 0 or 1."""


def bounds() -> list[System]:
    """Ideal binary masks, and the mix as every prediction."""
    return [System(IBM, _ideal_binary_masks), System(INPUT_MIX, _input_mix)]


def network_system(name: str, network: ConditionedUNet, *, hard: bool = False, labels: str = RIGHT) -> System:
    """A network (in evaluation mode) with soft or hard masks, told who plays or that all may."""

    def predict(mix: Array, truths: Array, told: Array, gain: float) -> Array:
        del truths
        if labels == ALL_ONES:
            told = np.ones_like(told)
        with torch.inference_mode():
            frames = spectrum(_tensor(gain * mix)[None])  # [1, 512, T']
            heard = values(magnitudes(frames, network.config), network.config)
            logits = network.mask_logits(heard, _tensor(told)[None])
            masks = masks_of_logits(logits, network.config, hard=hard)  # [1, K, 512, T']
            found = waveform(masks * frames.unsqueeze(1), mix.shape[-1])[0]
        predictions = found.double().numpy() / gain
        # The mask of a class that is exactly 0 must stay exact through the inverse transform.
        predictions[~masks[0].flatten(1).any(dim=1).numpy()] = 0.0
        return np.asarray(predictions, np.float64)

    kind = "hard" if hard else "soft"
    return System(f"{name}, {kind} masks, {labels}", predict, network.config, labels, hard)


def level_gain(mix: Array) -> float:
    """What brings a whole piece to the level that networks hear."""
    return MIX_RMS / max(float(mix.std()), 1e-6)


def _ideal_binary_masks(mix: Array, truths: Array, labels: Array, gain: float) -> Array:
    """Eq. 3 on the linear axis."""
    del labels
    frames = spectrum(_tensor(gain * mix)[None])
    of_sources = magnitudes(spectrum(_tensor(gain * truths)), IDEAL)[None]  # [1, K, 512, T']
    masks = target_masks(of_sources, magnitudes(frames, IDEAL), IDEAL)
    found = waveform(masks * frames.unsqueeze(1), mix.shape[-1])[0].double().numpy() / gain
    found[~truths.any(axis=-1)] = 0.0
    return np.asarray(found, np.float64)


def _input_mix(mix: Array, truths: Array, labels: Array, gain: float) -> Array:
    del labels, gain
    return np.broadcast_to(mix, truths.shape)


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
