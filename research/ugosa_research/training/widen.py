"""Go on from a network with fewer cosine filters: more frequencies, the same trained separator.

Encoder and decoder are those of `basis.py` for the larger number of filters. Every filter takes the norm's
weights, the bottleneck's column and the masks of the old filter that is nearest in frequency, of the same
phase, sign and side; a column that several take is divided among them, so that the bottleneck hears as much
of each frequency as before. The network starts about where the old one stood, and returns more of the mix.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_research.songs.basis import FILTERS_A_FREQUENCY, frequencies_hz, start_from_cosines
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

NORM = ("separator.network.0.gamma", "separator.network.0.beta")
BOTTLENECK = "separator.network.1.weight"
MASKS = "separator.network.3.weight"
BASIS = ("encoder.", "decoder.")


@torch.no_grad()
def widened(weights: dict[str, Tensor], old: ConvTasNetConfig, new: ConvTasNetConfig) -> dict[str, Tensor]:
    """The weights of a network of the sizes `new`, which has more filters than `old` and is else like it."""
    network = ConvTasNet(new)
    start_from_cosines(network)
    nearest = torch.from_numpy(nearest_filters(old, new))  # [new N]
    takers = torch.bincount(nearest, minlength=old.encoder_filters)[nearest]
    wide = network.state_dict()
    for name, weight in weights.items():
        if name in NORM:
            wide[name] = weight[:, nearest]
        elif name == BOTTLENECK:
            wide[name] = weight[:, nearest] / takers[:, None]
        elif name == MASKS:
            by_source = weight.view(len(old.sources), old.encoder_filters, -1)
            wide[name] = by_source[:, nearest].flatten(0, 1).unsqueeze(-1)
        elif not name.startswith(BASIS):
            wide[name] = weight
    return wide


def nearest_filters(old: ConvTasNetConfig, new: ConvTasNetConfig) -> NDArray[np.int64]:
    """The old filter that each new one takes after: [new N]."""
    pairs: list[int] = []  # of cosine and sine: mid first, then side, as in the encoder
    n_before = 0
    for old_hz, new_hz in zip(frequencies_hz(old), frequencies_hz(new), strict=True):
        distances = np.abs(np.log(old_hz) - np.log(new_hz)[:, None])  # [new, old]
        pairs += (n_before + distances.argmin(axis=1)).tolist()
        n_before += len(old_hz)
    one_sign = (2 * np.array(pairs)[:, None] + np.arange(2)).flatten()
    other_sign = one_sign + n_before * FILTERS_A_FREQUENCY // 2
    return np.concatenate([one_sign, other_sign])
