"""Systems compared on an ensemble: Conditioned U-Nets, and the two bounds of the paper's Table 1.

A network hears each segment of 65,535 samples at the level that the whole piece is brought to, as in the
server, and its predictions are brought back to the level of the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ugosa_research.cunet.targets import target_masks
from ugosa_server.marks.players import VisualFrame
from ugosa_server.models.config import MaskKind
from ugosa_server.models.cunet.conditioning import VideoContexts
from ugosa_server.models.cunet.config import (
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    ConditionedUNetConfig,
)
from ugosa_server.models.cunet.front_end import (
    HOP_SAMPLES,
    MIX_RMS,
    magnitudes,
    masks_of_logits,
    spectrum,
    values,
    waveform,
)
from ugosa_server.models.cunet.network import ConditionedUNet

Array = NDArray[np.float64]
IBM, INPUT_MIX = "IBM", "input mix"
RIGHT, ALL_ONES, VIDEO = "right labels", "all-ones labels", "video"
IDEAL = ConditionedUNetConfig(frequency_scale="linear", mask="binary")  # no loss by warping


@dataclass(frozen=True)
class Segment:
    """One window of a piece."""

    mix: Array
    """[T]."""
    truths: Array
    """[K, T]."""
    labels: Array
    """[K]: who plays in the piece."""
    gain: float = 1.0
    """Brings the piece to the level of the network."""
    start: int = 0
    """Sample of the piece at 11,025 Hz."""
    video: tuple[VisualFrame, ...] = ()
    """Visual features of the players, in frames of 11,025 Hz."""


Predict = Callable[[Segment], Array]
"""-> predictions [K, T]."""


@dataclass(frozen=True)
class System:
    """One column of figures."""

    name: str
    predict: Predict
    config: ConditionedUNetConfig | None = None
    """Settings of a network."""
    labels: str = RIGHT
    """Conditioning used by the system: labels or video."""
    masks: MaskKind = "soft"
    """Kind of its masks."""


def bounds() -> list[System]:
    """Ideal binary masks, and the mix as every prediction."""
    return [System(IBM, _ideal_binary_masks), System(INPUT_MIX, _input_mix)]


def network_system(
    name: str, network: ConditionedUNet, *, kind: MaskKind = "soft", labels: str = RIGHT
) -> System:
    """A network (in evaluation mode) with a kind of masks; it is told who plays, that all may, or sees."""
    config = network.config

    def context_of(segment: Segment) -> Array | NDArray[np.float32]:
        if labels == VIDEO:
            first = segment.start // HOP_SAMPLES
            seen = VideoContexts(
                segment.video, config.context_shape, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ / HOP_SAMPLES
            )
            return np.asarray(seen.between(first, first + WINDOW_FRAMES)[0][0], np.float32)
        return np.ones_like(segment.labels) if labels == ALL_ONES else segment.labels

    def predict(segment: Segment) -> Array:
        mix, gain = segment.mix, segment.gain
        with torch.inference_mode():
            frames = spectrum(_tensor(gain * mix)[None])  # [1, 512, T']
            heard = values(magnitudes(frames, config), config)
            logits = network.mask_logits(heard, _tensor(context_of(segment))[None])
            masks = masks_of_logits(logits, config, kind=kind)  # [1, K, 512, T']
            found = waveform(masks * frames.unsqueeze(1), mix.shape[-1])[0]
        predictions = found.double().numpy() / gain
        # The mask of a class that is exactly 0 must stay exact through the inverse transform.
        predictions[~masks[0].flatten(1).any(dim=1).numpy()] = 0.0
        return np.asarray(predictions, np.float64)

    return System(f"{name}, {kind} masks, {labels}", predict, config, labels, kind)


def level_gain(mix: Array) -> float:
    """Gain that brings a whole piece to the networks' input level."""
    return MIX_RMS / max(float(mix.std()), 1e-6)


def _ideal_binary_masks(segment: Segment) -> Array:
    """Eq. 3 on the linear axis."""
    mix, truths, gain = segment.mix, segment.truths, segment.gain
    frames = spectrum(_tensor(gain * mix)[None])
    of_sources = magnitudes(spectrum(_tensor(gain * truths)), IDEAL)[None]  # [1, K, 512, T']
    masks = target_masks(of_sources, magnitudes(frames, IDEAL), IDEAL)
    found = waveform(masks * frames.unsqueeze(1), mix.shape[-1])[0].double().numpy() / gain
    found[~truths.any(axis=-1)] = 0.0
    return np.asarray(found, np.float64)


def _input_mix(segment: Segment) -> Array:
    return np.broadcast_to(segment.mix, segment.truths.shape)


def _tensor(array: NDArray[np.floating[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
