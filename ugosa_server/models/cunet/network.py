"""The Conditioned U-Net: one mask per instrument from the spectrogram of a mix, conditioned on who plays.

Slizovskaia, Haro and Gomez (2021), section 3. The sizes are in `config`; the input values, and how masks are
applied, in `front_end`. Shapes: batch B, classes K, bins F, frames T'; F and T' are multiples of 64.

The last block ends in its batch norm. (The published code ends in ReLU and dropout, so that no mask can fall
below 0.5; `rectified_logits` is for checkpoints made so.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ugosa_server.models.config import MaskKind
from ugosa_server.models.cunet.config import BLOCKS, MOTION_FEATURES, VISUAL_FEATURES, ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import (
    MIX_RMS,
    SILENT_LOGIT,
    magnitudes,
    masks_of_logits,
    spectrum,
    values,
    waveform,
)
from ugosa_server.models.network import MaskNetwork

FRAME_MULTIPLE = 1 << BLOCKS  # every block halves
FILM_BIAS = 0.1  # at the start; published code


class EncoderBlock(nn.Module):
    """Convolution 4x4 with stride 2, batch norm, FiLM, leaky ReLU; no norm or ReLU in the bottleneck."""

    def __init__(self, config: ConditionedUNetConfig, before: int, after: int, *, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=config.bias)
        self.norm = nn.BatchNorm2d(after) if norm else None
        self.slope = config.encoder_slope

    def forward(self, x: Tensor, film: Tensor | None) -> Tensor:
        """Encode, [B, before, F, T'] -> [B, after, F / 2, T' / 2]; `film` is (gamma, beta), [B, 2 after]."""
        x = self.conv(x)
        if self.norm is None:
            return modulate(x, film)
        return F.leaky_relu(modulate(self.norm(x), film), self.slope)


class DecoderBlock(nn.Module):
    """Bilinear x2, skip connection, convolution 3x3, batch norm; ReLU and dropout, but not in the last."""

    def __init__(self, config: ConditionedUNetConfig, before: int, after: int, *, last: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=config.bias)
        self.norm = nn.BatchNorm2d(after)
        self.dropout = nn.Dropout(0.0 if last else config.dropout)
        self.last = last

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Decode, [B, C, F, T'] and skip [B, before - C, 2 F, 2 T'] -> [B, after, 2 F, 2 T']."""
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = self.norm(self.conv(torch.cat([skip, x], dim=1)))
        return x if self.last else self.dropout(F.relu(x))


def modulate(x: Tensor, film: Tensor | None) -> Tensor:
    """Apply FiLM (Eq. 10, gamma around 0): (1 + gamma) x + beta; x [B, C, F, T'], film [B, 2 C]."""
    if film is None:
        return x
    gamma, beta = film.unsqueeze(-1).unsqueeze(-1).chunk(2, dim=1)  # [B, C, 1, 1]
    return (1 + gamma) * x + beta


class ConditionedUNet(MaskNetwork):
    """U-Net or Multi-Head U-Net with the conditioning that its configuration names."""

    config: ConditionedUNetConfig

    def __init__(self, config: ConditionedUNetConfig = ConditionedUNetConfig()) -> None:  # noqa: B008
        super().__init__()
        self.config = config
        self.context_shape = config.context_shape
        self.takes_labels = config.context == "labels"
        channels = config.encoder_channels
        self.encoder = nn.ModuleList(
            EncoderBlock(config, before, after, norm=i < BLOCKS - 1)
            for i, (before, after) in enumerate(zip((1, *channels), channels, strict=False))
        )
        self.decoders = nn.ModuleList(
            nn.ModuleList(
                DecoderBlock(config, before, after, last=i == BLOCKS - 1)
                for i, (before, after) in enumerate(config.decoder_channels(outputs))
            )
            for outputs in config.decoder_outputs
        )
        self.visual_head = None
        if config.visual_fine_tuning:  # the identity at first: features of ResNet-50 are never negative
            self.visual_head = nn.Linear(VISUAL_FEATURES, VISUAL_FEATURES)
            nn.init.eye_(self.visual_head.weight)
            nn.init.zeros_(self.visual_head.bias)
        self.motion = (
            nn.LSTM(VISUAL_FEATURES, MOTION_FEATURES, batch_first=True)
            if config.film_channels and config.context == "frames"
            else None
        )
        self.film = nn.ModuleList()  # generators f of Eq. 9
        for after in config.film_channels:
            generator = nn.Linear(config.context_features, 2 * after)
            nn.init.xavier_uniform_(generator.weight)
            nn.init.constant_(generator.bias, FILM_BIAS)
            self.film.append(generator)

    def mask_logits(self, network_values: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the logits of the masks: [B, 1, F, T'] -> [B, K, F, T'].

        Args:
            network_values: `front_end.values` of the mix.
            context: [B, *config.context_shape]: labels of 0 and 1, or features of frames, zero for players
                that are not there. Not used without conditioning, and needed with it.
        """
        film = self._film(context)
        modulations: list[Tensor | None] = [None] * BLOCKS
        if self.config.conditioning == "film-encoder":
            modulations[:-1] = film
        elif self.config.conditioning == "film-bottleneck":
            modulations[-1:] = film
        if self.training and self.config.input_noise_std > 0:
            network_values = network_values + self.config.input_noise_std * torch.randn_like(network_values)
        x, skips = network_values, [network_values]
        for block, modulation in zip(self.encoder, modulations, strict=True):
            x = block(x, modulation)  # [B, C, F / 2^i, T' / 2^i]
            skips.append(x)
        logits = torch.cat([_decode(decoder, skips) for decoder in self.decoders], dim=1)  # [B, K, F, T']
        if self.config.conditioning == "film-final":
            logits = modulate(logits, film[0])
        if self.config.rectified_logits:
            logits = F.relu(logits)
        if self.config.conditioning == "label-multiply":
            assert context is not None
            # Eq. 11, c sigma(l), for labels of 0 and 1: the sigmoid of this is exactly 0, that of 0 l is not.
            logits = logits.masked_fill((context == 0).unsqueeze(-1).unsqueeze(-1), SILENT_LOGIT)
        return logits

    def masks(self, frames: Tensor, context: Tensor | None = None, *, kind: MaskKind = "soft") -> Tensor:
        """Compute masks for the `spectrum` of a mix: complex [B, 512, T'] -> [B, K, 512, T'].

        Frames of silence are added up to the next multiple of 64 and removed again.
        """
        missing = -frames.shape[-1] % FRAME_MULTIPLE
        found = magnitudes(MIX_RMS * F.pad(frames, (0, missing)), self.config)
        logits = self.mask_logits(values(found, self.config), context)
        return masks_of_logits(logits, self.config, kind=kind)[..., : frames.shape[-1]]

    def forward(self, mix: Tensor, activity: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Separate with soft masks and the mix's phase: [B, 1, T] -> [B, K, 1, T].

        Without a context, [B, *config.context_shape], it is `context_of(activity)`.
        """
        frames = spectrum(mix[:, 0])  # [B, 512, T']
        if context is None:
            context = self.context_of(activity, mix)
        masks = self.masks(frames, context)  # [B, K, 512, T']
        return waveform(masks * frames.unsqueeze(1), mix.shape[-1]).unsqueeze(2)  # [B, K, 1, T]

    def context_of(self, activity: Tensor | None, mix: Tensor) -> Tensor:
        """Return the context without video: labels from h, or all-zero features. [B, *context_shape]."""
        if self.takes_labels and activity is not None:
            return activity.amax(dim=-1)
        shape = (len(mix), *self.context_shape)
        return mix.new_ones(shape) if self.takes_labels else mix.new_zeros(shape)

    def _film(self, context: Tensor | None) -> list[Tensor]:
        """Return (gamma, beta) of each modulated layer, [B, 2 C]."""
        if self.config.conditioning == "none":
            return []
        if context is None or context.shape[1:] != self.context_shape:
            shape = None if context is None else tuple(context.shape)
            raise ValueError(f"the context has shape {shape}, but must be [B, *{self.context_shape}]")
        if not len(self.film):
            return []
        seen = context.any(dim=-1, keepdim=True)  # a bias changes zeros too
        if self.visual_head is not None:
            context = F.relu(self.visual_head(context)) * seen  # [B, K', 2048] or [B, K', N, 2048]
        if self.motion is not None:
            batch, players = context.shape[:2]
            _, (hidden, _) = self.motion(context.flatten(0, 1))  # [1, B K', 1024]
            context = hidden[0].reshape(batch, players, MOTION_FEATURES) * seen.any(dim=2)
        return [generator(context.flatten(1)) for generator in self.film]


def _decode(decoder: nn.Module, skips: list[Tensor]) -> Tensor:
    """Run one decoder, from the bottleneck out: -> [B, outputs, F, T']."""
    assert isinstance(decoder, nn.ModuleList)
    *between, x = skips
    for block, skip in zip(decoder, reversed(between), strict=True):
        x = block(x, skip)
    return x
