"""Two stages as one differentiable network.

    v = Spleeter(y);   a = y - v;   s_i = e_i(a) + e_vocals(a) / (S - 1)   for all sources but the vocals

with e_i what the second stage makes of the accompaniment a. It was trained with vocals in the mix, and what
it still takes for vocals in the accompaniment belongs to nobody in particular: the other sources share it, so
that the stems add up as the stages' do. The vocals are the first stage's.

Shapes: batch B, sources S, channels C, samples T, frames K.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugosa_server.models.band.config import VOCALS, BandConfig
from ugosa_server.models.config import Depth
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.network import SeparationNetwork
from ugosa_server.models.spleeter.network import SpleeterNetwork


class BandNetwork(SeparationNetwork):
    """Vocals by Spleeter, the other sources by a ConvTasNet on what is left."""

    config: BandConfig

    def __init__(self, config: BandConfig) -> None:
        super().__init__()
        self.config = config
        self.first = SpleeterNetwork(config.first)
        self.second = ConvTasNet(config.second)

    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, C, T] -> [B, S, C, T]."""
        vocals = self.first(mix)[:, 0]
        return self._stems(vocals, self.second(mix - vocals))

    def frozen_part(self, mix: Tensor, depth: Depth) -> Tensor:
        """Features that stay as they are: [1, C, T] -> [1, n].

        The vocals, then what the second stage keeps of the accompaniment; where the vocals are trained, what
        the first stage keeps.
        """
        if self.config.trains_vocals(depth):
            return self.first.frozen_part(mix, depth)
        vocals = self.first(mix)[:, 0]
        features = self.second.frozen_part(mix - vocals, depth)  # [1, K, channels]
        return torch.cat([vocals.flatten(1), features.flatten(1)], dim=1)

    def trained_part(self, mix: Tensor, frozen: Tensor | None, depth: Depth) -> Tensor:
        """The rest: [B, C, T] and `frozen_part` of each -> [B, S, C, T]."""
        assert frozen is not None
        if self.config.trains_vocals(depth):
            vocals = self.first.trained_part(mix, frozen, depth)[:, 0]
            return self._stems(vocals, self.second(mix - vocals))
        n_samples = mix[0].numel()
        vocals = frozen[:, :n_samples].reshape(mix.shape)
        features = frozen[:, n_samples:].reshape(len(mix), -1, self.config.second.bottleneck_channels)
        return self._stems(vocals, self.second.trained_part(mix - vocals, features, depth))

    def release_memory(self) -> None:
        """Free what the second stage hands on from step to step."""
        self.second.release_memory()

    def _stems(self, vocals: Tensor, estimates: Tensor) -> Tensor:
        """Put the vocals in their place: [B, C, T], [B, S, C, T] -> [B, S, C, T]."""
        place = self.config.second.sources.index(VOCALS)
        shared = estimates[:, place].unsqueeze(1) / (estimates.shape[1] - 1)  # [B, 1, C, T]
        before, after = estimates[:, :place] + shared, estimates[:, place + 1 :] + shared
        return torch.cat([before, vocals.unsqueeze(1), after], dim=1)
