"""What the frozen part of the network makes of a segment stays the same in all epochs: compute it once.

With P-L3 on the published network that is the encoder and three of four repeats. Features are kept in main
memory within a byte budget, first come, first kept (every epoch visits every segment once, so no other rule
keeps more); segments beyond the budget are computed again. Kept or not, the numbers are bit for bit the
same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugosa_server.models.conv_tasnet import ConvTasNet
from ugosa_server.models.depths import Depth

DEFAULT_BUDGET_BYTES = 1 << 30


class PrefixCache:
    """Runs a network in two parts: the frozen prefix without gradient, once; the rest every time."""

    def __init__(self, network: ConvTasNet, depth: Depth, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        """Keep features of `network` fine-tuned at `depth`, in at most `budget_bytes` of main memory."""
        self._network = network
        self._frozen_repeats = depth.frozen_repeats(network.config)
        self._masks_are_frozen = depth.level == 5  # only the decoder is trained
        self._budget_bytes = budget_bytes
        self._kept: dict[int, Tensor] = {}
        self.kept_bytes = 0

    def separate(self, mixes: list[Tensor], keys: list[int]) -> Tensor:
        """Separate segments with gradient: B mixes [C, T], keyed by the segment -> [B, S, C, T].

        The prefix runs segment by segment whatever the batch, so a kept result is the one that would be
        computed.
        """
        batch = torch.stack(mixes)  # [B, C, T]
        frozen = torch.cat([self._prefix(mix, key) for mix, key in zip(mixes, keys, strict=True)])
        with torch.no_grad():
            w = self._network.encode(batch)  # [B, N, K]: cheap enough not to be kept
        masks = frozen if self._masks_are_frozen else self._network.suffix(frozen, self._frozen_repeats)
        return self._network.decode(w, masks, batch.shape[-1])  # [B, S, C, T]

    def _prefix(self, mix: Tensor, key: int) -> Tensor:
        """Features before the first trained repeat [1, B_ch, K], or the masks [1, S, N, K]."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept.to(mix.device)
        with torch.no_grad():
            features = self._network.prefix(self._network.encode(mix.unsqueeze(0)), self._frozen_repeats)
            if self._masks_are_frozen:
                features = self._network.suffix(features, self._frozen_repeats)
        n_bytes = features.numel() * features.element_size()
        if self.kept_bytes + n_bytes <= self._budget_bytes:
            self._kept[key] = features.cpu()
            self.kept_bytes += n_bytes
        return features
