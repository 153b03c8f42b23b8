"""A training step that halves the transform: for a frozen basis whose filters come with both signs.

`basis.py` gives every filter a twin of the opposite sign, in encoder and decoder. While both are frozen the
encoder need only be convolved once for a pair, and a pair's masked outputs can be subtracted before the
decoder, which is the dearest matrix product of a network with long frames:

    w = [relu(y), relu(-y)],  y = A x;    D w m = D_half (relu(y) m_+ - relu(-y) m_-).

The blocks between go through `models.conv_tasnet.fast`, one example after the other, in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ugosa_server.models.conv_tasnet import fast
from ugosa_server.models.conv_tasnet.network import ConvTasNet


def has_twin_filters(network: ConvTasNet) -> bool:
    """Whether the second half of encoder and decoder is the first with the opposite sign."""
    encoder, decoder = network.encoder.conv1d_U.weight, network.decoder.basis_signals.weight
    return fast.have_opposite_halves(encoder, dim=0) and fast.have_opposite_halves(decoder, dim=1)


def separate_with_twins(network: ConvTasNet, mix: Tensor, scratch: fast.Scratch) -> Tensor:
    """`network(mix)` for less than its modules cost: [B, C, T] -> [B, S, C, T].

    `scratch` is memory that one step hands on to the next.
    """
    return torch.stack([_separate(network, example, scratch) for example in mix])


def _separate(network: ConvTasNet, mix: Tensor, scratch: fast.Scratch) -> Tensor:
    """[C, T] -> [S, C, T]."""
    config = network.config
    norm, bottleneck, repeats, mask_conv = network.separator.network
    signals = network.decoder.basis_signals.weight.chunk(2, dim=1)[0]  # [C * L, N / 2]
    with torch.no_grad():  # the basis is frozen
        w = fast.encode(mix, network.encoder.conv1d_U.weight, config.hop_samples)  # [K, N]
    above, below = w.chunk(2, dim=1)
    features = fast.bottleneck(w, norm, bottleneck)  # [K, B_ch]
    blocks = [block for repeat in repeats.children() for block in repeat.children()]
    features = fast.run_blocks(features, blocks, scratch)
    masks = F.relu(features @ mask_conv.weight.squeeze(-1).t())  # type: ignore[operator]
    masks_above, masks_below = masks.view(len(w), len(config.sources), -1).chunk(2, dim=2)  # [K, S, N / 2]
    masked = above[:, None] * masks_above - below[:, None] * masks_below
    frames = masked @ signals.t()  # [K, S, C * L]
    by_channel = frames.view(*frames.shape[:2], config.audio_channels, -1).permute(1, 2, 0, 3)  # [S, C, K, L]
    audio = fast.overlap_add(by_channel)
    return F.pad(audio, (0, mix.shape[-1] - audio.shape[-1]))
