"""Spleeter as a separation network: STFT of the mix, a U-Net for each source, masks, and back.

    o_i = M_i |X|,   m_i = (o_i^2 + eps / S) / (sum_j o_j^2 + eps),   s_i = iSTFT(m_i X)

with M_i what U-Net i makes of |X| (Hennequin et al. 2020). The grid is the original's: 44.1 kHz, Hann window
of 4096, hop of 1024, the lowest 1024 bins. The masks of all sources add up to 1, so the last source is the
mix without the others; where the config says "zero" above 11 kHz, it is masked like the others.

Songs come with a standard deviation of 1. The U-Nets saw mixes at their own level, so the magnitudes that
they are shown are brought to `SpleeterConfig.song_std`; the masks go on the mix as it comes.

Shapes: batch B, sources S, channels C, samples T, frames K, bins F.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ugosa_server.models.config import Depth
from ugosa_server.models.network import SeparationNetwork
from ugosa_server.models.spleeter.config import (
    FFT_SAMPLES,
    FRAMES_MULTIPLE,
    HOP_SAMPLES,
    HOPS_A_FRAME,
    MASK_LAYER,
    N_LAYERS,
    SEEN_BINS,
    SpleeterConfig,
    up_channels,
)
from ugosa_server.models.spleeter.unet import UNet, from_parities

MASK_EPS = 1e-10


class SpleeterNetwork(SeparationNetwork):
    """All U-Nets of one Spleeter."""

    config: SpleeterConfig

    def __init__(self, config: SpleeterConfig) -> None:
        super().__init__()
        self.config = config
        self.unets = nn.ModuleList([UNet(config.filters, config.activation) for _ in config.sources])

    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, 2, T] -> [B, S, 2, T]."""
        return self.stems_and_features(mix)[0]

    def stems_and_features(self, mix: Tensor, fft_samples: int = FFT_SAMPLES) -> tuple[Tensor, list[Tensor]]:
        """Return the stems, and what `UNet.encode` gives for the last source.

        With frames of another length the U-Nets see the mix as if it were played at another speed: with
        frames shorter by 1/16, slower by as much and a semitone lower.
        """
        spectrum = self.spectrum(mix, fft_samples)
        magnitudes = self._magnitudes(spectrum)
        logits = []
        features: list[Tensor] = []
        for unet in self.unets:
            features = []  # those of the source before it are of no use
            features = unet.encode(magnitudes)  # type: ignore[operator]
            logits.append(unet.logits(unet.decode(features, 0, MASK_LAYER)))  # type: ignore[operator]
        return self._stems(mix, spectrum, magnitudes, logits), features

    def frozen_part(self, mix: Tensor, depth: Depth) -> Tensor:
        """Features that the layers from the first trained one on take: [1, C, T] -> [1, n].

        Of each U-Net what comes from below, then the skips from the deepest on.
        """
        start = self.config.first_trained_layer(depth)
        magnitudes = self._magnitudes(self.spectrum(mix))
        inputs = []
        for unet in self.unets:
            inputs += unet.inputs(unet.encode(magnitudes), start)  # type: ignore[operator]
        return flat(inputs)

    def trained_part(self, mix: Tensor, frozen: Tensor | None, depth: Depth) -> Tensor:
        """The rest of the decoders: [B, C, T] and `frozen_part` of each -> [B, S, C, T]."""
        assert frozen is not None
        start = self.config.first_trained_layer(depth)
        with torch.no_grad():
            spectrum = self.spectrum(mix)
            magnitudes = self._magnitudes(spectrum)
        shapes = input_shapes(self.config.filters, start, magnitudes.shape[-2])
        logits = []
        for unet, part in zip(self.unets, frozen.chunk(len(self.unets), dim=1), strict=True):
            inputs = unflat(part, shapes)
            logits.append(unet.logits(unet.decode(inputs, start, MASK_LAYER)))  # type: ignore[operator]
        return self._stems(mix, spectrum, magnitudes, logits)

    def spectrum(self, mix: Tensor, fft_samples: int = FFT_SAMPLES) -> Tensor:
        """STFT with silence around the mix: [B, C, T] -> complex [B, C, K, F]."""
        spectrum = torch.stft(
            mix.flatten(0, 1),
            fft_samples,
            fft_samples // HOPS_A_FRAME,
            window=torch.hann_window(fft_samples, device=mix.device),
            pad_mode="constant",
            return_complex=True,
        )
        spectrum = spectrum.transpose(-1, -2)  # [B * C, K, F]
        return spectrum.view(*mix.shape[:2], *spectrum.shape[1:])

    def _magnitudes(self, spectrum: Tensor) -> Tensor:
        """Input of the U-Nets, empty frames at its end: [B, C, K, F] -> [B, C, K rounded up, 1024]."""
        level = self.config.song_std * FFT_SAMPLES / _fft_samples(spectrum)
        magnitudes = spectrum[..., :SEEN_BINS].abs() * level
        return F.pad(magnitudes, (0, 0, 0, -magnitudes.shape[-2] % FRAMES_MULTIPLE))

    def _stems(self, mix: Tensor, spectrum: Tensor, magnitudes: Tensor, logits: list[Tensor]) -> Tensor:
        """Masks on the mix, and back: S logits by parity [B, 4, C, K / 2, F / 2] -> [B, S, C, T]."""
        stacked = torch.stack(logits, dim=1)  # [B, S, 4, C, K / 2, F / 2]
        softmax = self.config.mask_function == "softmax"
        shares = from_parities(stacked.softmax(dim=1) if softmax else stacked.sigmoid())  # [B, S, C, K, F]
        n_frames, n_sources = spectrum.shape[-2], len(logits)
        in_place = not torch.is_grad_enabled()
        seen = magnitudes[..., :n_frames, :].unsqueeze(1)
        powers = shares[..., :n_frames, :]
        powers = powers.mul_(seen).square_() if in_place else (powers * seen).square()  # o^2
        total = powers.sum(dim=1, keepdim=True).add_(MASK_EPS)
        adds_up = self.config.high_band == "average"
        masks = (powers[:, : n_sources - adds_up] + MASK_EPS / n_sources) / total
        above = masks.mean(dim=-1, keepdim=True) if adds_up else masks.new_zeros((*masks.shape[:-1], 1))
        audio = self.masked(masks, above, spectrum, mix.shape[-1])  # [B, S or S - 1, C, T]
        if not adds_up:
            return audio
        return torch.cat([audio, mix.unsqueeze(1) - audio.sum(dim=1, keepdim=True)], dim=1)

    def masked(self, masks: Tensor, above: Tensor, spectrum: Tensor, n_samples: int) -> Tensor:
        """Masks on a spectrum, and back.

        [B, S, C, K, 1024], one for all bins above [B, S, C, K, 1], [B, C, K, F] -> [B, S, C, n_samples]
        """
        above = above.expand(*masks.shape[:-1], spectrum.shape[-1] - SEEN_BINS)
        if torch.is_grad_enabled():
            return self.waveform(
                torch.cat([masks, above], -1).to(spectrum.dtype) * spectrum[:, None], n_samples
            )
        sources = zip(masks.unbind(1), above.unbind(1), strict=True)  # one by one, for a third of the memory
        stems = (torch.cat(pair, dim=-1).to(spectrum.dtype).mul_(spectrum) for pair in sources)
        return torch.stack([self.waveform(stem, n_samples) for stem in stems], dim=1)

    def waveform(self, spectrum: Tensor, n_samples: int) -> Tensor:
        """Inverse of `spectrum`: complex [..., K, F] -> [..., n_samples]."""
        fft_samples = _fft_samples(spectrum)
        window = torch.hann_window(fft_samples, device=spectrum.device)
        frames = torch.fft.irfft(spectrum, fft_samples)  # [..., K, 4 hops]
        frames = frames * window if torch.is_grad_enabled() else frames.mul_(window)
        squares = window.square().expand(spectrum.shape[-2], -1)  # [K, 4 hops]
        inside = slice(fft_samples // 2, fft_samples // 2 + n_samples)
        audio, weights = (_OverlapAdd.apply(x)[..., inside] for x in (frames, squares))  # type: ignore[no-untyped-call]
        separated: Tensor = audio / weights
        return separated


class _OverlapAdd(torch.autograd.Function):
    """Sum of frames of four hops each: [..., K, 4 hops] -> [..., K + 3 hops].

    The gradient of a frame is the stretch of the sum's that it lies on: a view, where autograd would fill and
    add up a whole tensor for each of the four hops.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, frames: Tensor) -> Tensor:
        by_hop = frames.view(*frames.shape[:-1], HOPS_A_FRAME, -1)  # [..., K, 4, hop]
        total = F.pad(by_hop[..., 0, :], (0, 0, 0, HOPS_A_FRAME - 1))  # [..., K + 3, hop]
        for j in range(1, HOPS_A_FRAME):
            total[..., j : j + frames.shape[-2], :] += by_hop[..., j, :]
        ctx.fft_samples = frames.shape[-1]  # type: ignore[attr-defined]
        return total.flatten(-2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].unfold(-1, ctx.fft_samples, ctx.fft_samples // HOPS_A_FRAME)


def _fft_samples(spectrum: Tensor) -> int:
    """Samples of a frame of a spectrum [..., F]."""
    return 2 * (spectrum.shape[-1] - 1)


def padded_frames(n_samples: int) -> int:
    """Frames of a mix of n samples, rounded up to what the U-Nets take."""
    n_frames = n_samples // HOP_SAMPLES + 1
    return n_frames + -n_frames % FRAMES_MULTIPLE


def input_shapes(filters: tuple[int, ...], start: int, frames: int) -> list[tuple[int, int, int]]:
    """Channels, frames and bins of what the decoder layers from `start` on take, see `Decoder.inputs`."""

    def shape(channels: int, layer: int) -> tuple[int, int, int]:  # of what enters that layer
        halvings = max(1, N_LAYERS - layer)  # the mask layer takes four parities at half the resolution
        return channels, frames >> halvings, SEEN_BINS >> halvings

    below = {0: filters[-1], MASK_LAYER: 4}.get(start) or up_channels(filters)[start - 1][1]
    skips = [shape(filters[N_LAYERS - 1 - layer], layer) for layer in range(max(1, start), MASK_LAYER)]
    return [shape(below, start), *skips]


def flat(inputs: list[Tensor]) -> Tensor:
    """Inputs of a decoder in a row, as channels last lie in memory: [B, C, h, w] each -> [B, n]."""
    return torch.cat([features.permute(0, 2, 3, 1).flatten(1) for features in inputs], dim=1)


def unflat(flat: Tensor, shapes: list[tuple[int, int, int]]) -> list[Tensor]:
    """Inverse of `flat`, whose end it reads."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.split(flat[:, -sum(sizes) :], sizes, dim=1)
    shaped = zip(parts, shapes, strict=True)
    return [part.reshape(-1, height, width, n).permute(0, 3, 1, 2) for part, (n, height, width) in shaped]
