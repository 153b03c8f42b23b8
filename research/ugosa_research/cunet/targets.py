"""Masks that a Conditioned U-Net is trained to give."""

from __future__ import annotations

from torch import Tensor

from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import MAGNITUDE_FLOOR


def target_masks(source_magnitudes: Tensor, mix_magnitudes: Tensor, config: ConditionedUNetConfig) -> Tensor:
    """Compute target masks: sources [B, K, F, T'] and mix [B, F, T'] -> [B, K, F, T'].

    Both are `magnitudes` (after warping). "binary", Eq. 3: 1 where |X| / (|Y| - |X|) >= 1. "ratio", Eq. 2:
    |X| / |Y|, at most 1, which a sigmoid cannot exceed. The floor is taken off again, so that a silent source
    has a mask of 0.
    """
    source = (source_magnitudes - MAGNITUDE_FLOOR).clamp(min=0.0)
    mix = mix_magnitudes.unsqueeze(1)  # [B, 1, F, T']
    if config.mask == "binary":
        return (source >= mix - source).to(source.dtype)
    return (source / mix).clamp(max=1.0)
