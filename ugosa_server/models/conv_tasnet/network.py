"""ConvTasNet: one mask per source on a learned short-frame transform of the waveform.

Luo and Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking" (2019), in the stereo
music variant of Defossez et al. (2019): 44.1 kHz, four sources, global layer norm, ReLU masks, no skip path.
Parameter names are those of the published checkpoints, so their state dicts load unchanged.

Letters of the paper: N encoder filters, L their length, B bottleneck channels, H block channels, P kernel
size, X blocks a repeat, R repeats. Shapes: batch B, sources S, audio channels C, samples T, frames K.

The modules are the readable definition. Training (`train()` mode, autocast) runs them as they stand;
adaptation and separation, in evaluation mode, run the same parameters through `fast`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ugosa_server.models.config import Depth
from ugosa_server.models.conv_tasnet import fast
from ugosa_server.models.conv_tasnet.config import NORM_EPS, ConvTasNetConfig
from ugosa_server.models.network import SeparationNetwork


class ChannelwiseLayerNorm(nn.Module):
    """cLN: normalise every frame over its own channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return gamma (x - mean_n) / sqrt(var_n + eps) + beta; [B, N, K] -> [B, N, K]."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)  # [B, 1, K]
        return self.gamma * (x - mean) * torch.rsqrt(variance + NORM_EPS) + self.beta


class GlobalLayerNorm(ChannelwiseLayerNorm):
    """gLN: normalise every example over channels and time, as a group norm of one group."""

    def forward(self, x: Tensor) -> Tensor:
        """Return gamma (x - mean) / sqrt(var + eps) + beta over [H, K]; [B, H, K] -> [B, H, K]."""
        return F.group_norm(x, 1, self.gamma.flatten(), self.beta.flatten(), NORM_EPS)


class FastPReLU(nn.PReLU):
    """PReLU with one slope; two rectifiers in training, whose gradients cost a third on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return max(x, 0) + a min(x, 0); [B, H, K] -> [B, H, K]."""
        if not self.training:
            return F.prelu(x, self.weight)
        return F.relu(x) - self.weight.to(x.dtype) * F.relu(-x)


class DepthwiseSeparableConv(nn.Module):
    """Dilated depthwise convolution, PReLU, gLN and the 1x1 convolution back to the bottleneck."""

    def __init__(self, config: ConvTasNetConfig, dilation: int) -> None:
        super().__init__()
        channels, taps = config.block_channels, config.kernel_size
        padding = dilation * (taps - 1) // 2  # symmetric: K stays K, the future is seen
        self.net = nn.Sequential(
            nn.Conv1d(channels, channels, taps, 1, padding, dilation, groups=channels, bias=False),
            FastPReLU(),
            GlobalLayerNorm(channels),
            nn.Conv1d(channels, config.bottleneck_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, [B, H, K] -> [B, B_ch, K]."""
        output: Tensor = self.net(x)
        return output


class TemporalBlock(nn.Module):
    """Residual block: 1x1 up to H channels, depthwise separable convolution down to B."""

    def __init__(self, config: ConvTasNetConfig, dilation: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(config.bottleneck_channels, config.block_channels, 1, bias=False),
            FastPReLU(),
            GlobalLayerNorm(config.block_channels),
            DepthwiseSeparableConv(config, dilation),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the output of the block to x, [B, B_ch, K] -> [B, B_ch, K]."""
        output: Tensor = self.net(x) + x
        return output


class Encoder(nn.Module):
    """Frames of L samples at hop L / 2, projected on N filters and rectified."""

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        filters, length = config.encoder_filters, config.encoder_length
        self.conv1d_U = nn.Conv1d(config.audio_channels, filters, length, config.hop_samples, bias=False)

    def forward(self, mix: Tensor) -> Tensor:
        """Return w = ReLU(U * mix); [B, C, T] -> [B, N, K]."""
        return F.relu(self.conv1d_U(mix))


class Separator(nn.Module):
    """Norm, bottleneck, R repeats of X blocks and mask convolution, in the published order."""

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        filters, channels = config.encoder_filters, config.bottleneck_channels
        repeats = [
            nn.Sequential(*[TemporalBlock(config, 2**x) for x in range(config.blocks_per_repeat)])
            for _ in range(config.repeats)
        ]
        self.network = nn.Sequential(
            ChannelwiseLayerNorm(filters),
            nn.Conv1d(filters, channels, 1, bias=False),
            nn.Sequential(*repeats),
            nn.Conv1d(channels, len(config.sources) * filters, 1, bias=False),
        )


class Decoder(nn.Module):
    """N features to C frames of L samples, overlapped and added at hop L / 2."""

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.audio_channels = config.audio_channels
        self.basis_signals = nn.Linear(
            config.encoder_filters, config.audio_channels * config.encoder_length, bias=False
        )

    def forward(self, source_w: Tensor) -> Tensor:
        """Decode features, [B, S, N, K] -> [B, S, C, (K + 1) L / 2]."""
        frames = self.basis_signals(source_w.transpose(2, 3))  # [B, S, K, C * L]
        by_channel = frames.view(*frames.shape[:3], self.audio_channels, -1).transpose(
            2, 3
        )  # [B, S, C, K, L]
        return fast.overlap_add(by_channel)  # [B, S, C, (K + 1) L / 2]


class ConvTasNet(SeparationNetwork):
    """The whole network.

    `plain_forward` is the definition, the oracle of the tests, and runs in training. Adaptation and
    separation take the fast path: `_front`, the blocks and `_tail` of one example after the other.
    """

    config: ConvTasNetConfig

    def __init__(self, config: ConvTasNetConfig | None = None, shared: int | None = None) -> None:
        """Make a network, or one whose stems leave out a source that the others share in equal parts."""
        super().__init__()
        self._shared = shared
        self.config = config or ConvTasNetConfig()
        self.encoder = Encoder(self.config)
        self.separator = Separator(self.config)
        self.decoder = Decoder(self.config)
        self._scratch = fast.Scratch()
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_normal_(module.weight)

    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, C, T] -> [B, S, C, T]."""
        if self.training or torch.is_autocast_enabled(mix.device.type):
            return self.plain_forward(mix)
        scratch = fast.Scratch()
        stems = []
        for example in mix:
            w, features = self._front(example)
            features = fast.run_blocks(features, self._blocks(), scratch)
            stems.append(self._tail(w, features, mix.shape[-1], scratch))
        return torch.stack(stems)

    def _front(self, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Run encoder, first norm and bottleneck: [C, T] -> w [K, N] and features [K, B_ch]."""
        w = self._encode(mix)
        norm, conv, *_ = self.separator.network
        return w, fast.bottleneck(w, norm, conv)

    def _encode(self, mix: Tensor) -> Tensor:
        """Run the encoder, [C, T] -> w [K, N]."""
        return fast.encode(self._at_least_a_frame(mix), self.encoder.conv1d_U.weight, self.config.hop_samples)

    def _blocks(self) -> list[nn.Module]:
        return [block for repeat in self.separator.network[2].children() for block in repeat.children()]

    def _tail(self, w: Tensor, features: Tensor, n_samples: int, scratch: fast.Scratch) -> Tensor:
        """Run masks and decoder: [K, N], [K, B_ch] -> audio of exactly `n_samples`, [S, C, T]."""
        masks, basis = self.separator.network[3].weight, self.decoder.basis_signals.weight
        frames = fast.masked_frames(features, w, masks, basis, scratch, self._shared)  # type: ignore[arg-type]
        by_channel = frames.view(*frames.shape[:2], self.config.audio_channels, -1).permute(1, 2, 0, 3)
        return _cut(fast.overlap_add(by_channel), n_samples)

    def _at_least_a_frame(self, mix: Tensor) -> Tensor:
        return F.pad(mix, (0, max(0, self.config.encoder_length - mix.shape[-1])))

    def plain_forward(self, mix: Tensor) -> Tensor:
        """Separate with the modules as they stand: [B, C, T] -> [B, S, C, T]."""
        w = self.encoder(self._at_least_a_frame(mix))  # [B, N, K]
        masks = F.relu(self.separator.network(w))  # [B, S * N, K]
        masks = masks.view(len(w), -1, *w.shape[1:])  # [B, S, N, K]
        audio = self.decoder(w.unsqueeze(1) * fast.spread(masks, self._shared))  # [B, S, C, (K + 1) L / 2]
        return _cut(audio, mix.shape[-1])

    def frozen_part(self, mix: Tensor, depth: Depth) -> list[Tensor]:
        """Run the blocks before the first with anything to train: [1, C, T] -> one of [1, K, B_ch].

        Not further (for `L4` to the last block's inner features, for `L5` to the masks), though that would be
        exact too: these are three and four times as large, and features that no budget holds cost all blocks
        again.
        """
        _, features = self._front(mix[0])
        blocks = self._blocks()[: self._frozen_blocks(depth)]
        return [fast.run_blocks(features, blocks, self._scratch)[None]]

    def trained_part(self, mix: Tensor, frozen: list[Tensor], depth: Depth) -> Tensor:
        """Run the other blocks, masks and decoder: [B, C, T], one of [B, K, B_ch] -> [B, S, C, T]."""
        blocks = self._blocks()[self._frozen_blocks(depth) :]
        stems = []
        for example, features in zip(mix, *frozen, strict=True):
            with torch.no_grad():
                w = self._encode(example)  # [K, N]: cheap enough not to be kept
            features = fast.run_blocks(features, blocks, self._scratch)
            stems.append(self._tail(w, features, mix.shape[-1], self._scratch))
        return torch.stack(stems)

    def release_memory(self) -> None:
        """Free the working memory that steps reuse."""
        self._scratch = fast.Scratch()

    def _frozen_blocks(self, depth: Depth) -> int:
        """Return the number of blocks before the first that has anything to train."""
        blocks = self.config.frozen_repeats(depth) * self.config.blocks_per_repeat
        return blocks + self.config.blocks_per_repeat - 1 if depth.level == 4 else blocks


def _cut(audio: Tensor, n_samples: int) -> Tensor:
    """Trim or fill up with silence: [..., T'] -> [..., n_samples]."""
    return F.pad(audio, (0, n_samples - audio.shape[-1]))
