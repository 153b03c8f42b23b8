"""A decoder of all sources of the accompaniment, on what Spleeter's encoder of the accompaniment gives.

That encoder has seen thousands of real songs. The layers up are a U-Net's; a last convolution at half the
resolution gives the logits of all sources, whose softmax are masks that add up to 1.

Shapes: batch B, sources S - 1 (all but the vocals), channels C, frames K (a multiple of 64), bins F.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ugosa_server.models.band.config import HEAD_KERNEL
from ugosa_server.models.spleeter.config import AUDIO_CHANNELS, LAST_UP, Activation, up_channels
from ugosa_server.models.spleeter.unet import Decoder, from_parities


class AccompanimentDecoder(Decoder):
    """The layers up of one U-Net, and its last convolution."""

    def __init__(self, filters: tuple[int, ...], activation: Activation, n_sources: int) -> None:
        """Make the layers for an encoder of these filters and S - 1 sources."""
        super().__init__(up_channels(filters)[:LAST_UP], activation)
        n_logits = 4 * n_sources * AUDIO_CHANNELS
        self.head = nn.Conv2d(2 * filters[0], n_logits, HEAD_KERNEL, padding=HEAD_KERNEL // 2)

    def masks(self, skips: list[Tensor], below: Tensor, start: int = 0) -> Tensor:
        """Return the masks of the sources, [B, S - 1, C, K, F].

        Args:
            skips: what the encoder gives to the layers from `start` on and to the head, deepest first.
            below: what comes to `start` from the layer below, see `Decoder.decode`.
            start: first layer.
        """
        up = self.decode(skips, below, start, LAST_UP)
        logits: Tensor = self.head(torch.cat([skips[-1], up], dim=1))
        batch, _, height, width = logits.shape
        return from_parities(logits.view(batch, -1, 4, AUDIO_CHANNELS, height, width)).softmax(dim=1)
