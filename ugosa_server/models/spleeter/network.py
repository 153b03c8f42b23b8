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
    HOPS_A_FRAME,
    MASK_LAYER,
    SEEN_BINS,
    SpleeterConfig,
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

    def frozen_part(self, mix: Tensor, depth: Depth) -> list[Tensor]:
        """Inputs of the layers from the first trained one on, of each U-Net in turn; see `Decoder.inputs`."""
        start = self.config.first_trained_layer(depth)
        magnitudes = self._magnitudes(self.spectrum(mix))
        inputs = []
        for unet in self.unets:
            inputs += unet.inputs(unet.encode(magnitudes), start)  # type: ignore[operator]
        return inputs

    def trained_part(self, mix: Tensor, frozen: list[Tensor], depth: Depth) -> Tensor:
        """The rest of the decoders: [B, C, T], and their inputs -> [B, S, C, T]."""
        start = self.config.first_trained_layer(depth)
        with torch.no_grad():
            spectrum = self.spectrum(mix)
            magnitudes = self._magnitudes(spectrum)
        logits = []
        n_inputs = len(frozen) // len(self.unets)
        for i, unet in enumerate(self.unets):
            inputs = frozen[i * n_inputs : (i + 1) * n_inputs]
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
