"""The networks of Tables 1 to 3 of Slizovskaia, Haro and Gomez (2021), as their Table 4 lists the choices.

All have 16 first channels. How a network is trained stands in `training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ugosa_server.models.cunet.config import ConditionedUNetConfig


@dataclass(frozen=True)
class CunetExperiment:
    """One row."""

    network: ConditionedUNetConfig
    curriculum: bool = True
    """Whether mixes grow from 2 to 7 sources, or have up to 7 from the first iteration."""


_MHU_NET = ConditionedUNetConfig(frequency_scale="linear", decoder="mhu-net", mask="binary")
_LINEAR = replace(_MHU_NET, decoder="unet")
_LOG = replace(_LINEAR, frequency_scale="log")
_FRAME = replace(_LOG, context="frame")

EXPERIMENTS: Mapping[str, CunetExperiment] = {
    "1": CunetExperiment(replace(_LOG, conditioning="none")),
    "2": CunetExperiment(replace(_LINEAR, conditioning="none")),
    "3": CunetExperiment(_MHU_NET),
    "4": CunetExperiment(replace(_MHU_NET, mask="ratio")),
    "5": CunetExperiment(replace(_MHU_NET, bias=True)),
    "6": CunetExperiment(replace(_MHU_NET, bias=True, input_noise_std=1.0)),
    "7": CunetExperiment(replace(_MHU_NET, value_scale="log")),
    "8": CunetExperiment(replace(_MHU_NET, bias=True, conditioning="none"), curriculum=False),
    "9": CunetExperiment(_LINEAR),
    "10": CunetExperiment(replace(_LINEAR, conditioning="film-encoder")),
    "11": CunetExperiment(replace(_LINEAR, conditioning="film-final")),
    "12": CunetExperiment(replace(_LINEAR, conditioning="label-multiply")),
    "13": CunetExperiment(replace(_LOG, conditioning="film-encoder")),
    "14": CunetExperiment(_LOG),
    "15": CunetExperiment(replace(_LOG, conditioning="film-final")),
    "16": CunetExperiment(replace(_LOG, conditioning="label-multiply")),
    "encoder-1": CunetExperiment(replace(_FRAME, conditioning="film-encoder")),
    "bottleneck-1": CunetExperiment(_FRAME),
    "bottleneck-1-ft": CunetExperiment(replace(_FRAME, visual_fine_tuning=True)),
    "bottleneck-15": CunetExperiment(replace(_LOG, context="frames", context_frames=15)),
    "bottleneck-50": CunetExperiment(replace(_LOG, context="frames", context_frames=50)),
    "final-1": CunetExperiment(replace(_FRAME, conditioning="film-final")),
}
"""By the number of Table 4, and those of Table 3 by where FiLM is and how many frames it sees."""


def network_of(experiment: str, like: ConditionedUNetConfig) -> ConditionedUNetConfig:
    """The network of a row with another network's instruments, first channels, dropout and slope."""
    return replace(
        EXPERIMENTS[experiment].network,
        instruments=like.instruments,
        first_channels=like.first_channels,
        dropout=like.dropout,
        encoder_slope=like.encoder_slope,
    )
