"""What the frozen part of the network makes of a segment stays the same in all epochs: compute it once.

With P-L3 on the published network that is the encoder and three of four repeats. Features are kept in main
memory within a byte budget, first come, first kept (every epoch visits every segment once, so no other rule
keeps more); segments beyond the budget are computed again. Kept or not, the numbers are bit for bit the
same. A network that cannot be split there runs whole every time.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from ugosa_server.models.depths import Depth
from ugosa_server.models.network import MaskNetwork, SeparationNetwork

DEFAULT_BUDGET_BYTES = 1 << 30


class PrefixCache:
    """Runs a network in two parts: the frozen prefix without gradient, once; the rest every time."""

    def __init__(
        self, network: SeparationNetwork, depth: Depth, budget_bytes: int = DEFAULT_BUDGET_BYTES
    ) -> None:
        """Keep features of `network` fine-tuned at `depth`, in at most `budget_bytes` of main memory."""
        self._network = network
        self._depth = depth
        self._budget_bytes = budget_bytes
        self._kept: dict[Hashable, Tensor] = {}
        self.kept_bytes = 0

    def separate(self, mixes: list[Tensor], keys: Sequence[Hashable], activity: Tensor) -> Tensor:
        """Separate segments with gradient: B mixes [C, T], each known by its key -> [B, S, C, T].

        A network of masks is told h [B, S, T], and runs whole.

        The prefix runs segment by segment whatever the batch, so a kept result is the one that would be
        computed.
        """
        if isinstance(self._network, MaskNetwork):
            return self._network.forward(torch.stack(mixes), activity)
        parts = [self._prefix(mix, key) for mix, key in zip(mixes, keys, strict=True)]
        frozen = torch.cat([part for part in parts if part is not None]) if parts[0] is not None else None
        return self._network.trained_part(torch.stack(mixes), frozen, self._depth)

    def _prefix(self, mix: Tensor, key: Hashable) -> Tensor | None:
        """What the frozen part makes of one segment, [1, ...]; None = the network has no such part."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept.to(mix.device)
        with torch.no_grad():
            features = self._network.frozen_part(mix.unsqueeze(0), self._depth)
        if features is None:
            return None
        n_bytes = features.numel() * features.element_size()
        if self.kept_bytes + n_bytes <= self._budget_bytes:
            self._kept[key] = features.cpu()
            self.kept_bytes += n_bytes
        return features
