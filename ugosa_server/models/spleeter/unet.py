"""The U-Net of one source: magnitudes of the mix to the logits of its mask.

Shapes: batch B, frames K (a multiple of 64), bins F; time comes before frequency, as in the published
weights: [B, 2, K, F]. Skips are what the convolutions give, before norm and activation; the way up applies
its activation before its norm. Padding is TensorFlow's "same" for a stride of two: one before, two after.

`encode` and `decode` are exact rearrangements of what the modules say (`tests/helpers/plain_spleeter.py`):

- A transposed convolution with a stride of two is four convolutions of 2x2 to 3x3 taps, one for each parity
  of row and column of its output; every multiply-add counts, and no zeros are inserted.
- a ReLU(y) + c, the norm after a rectifier, is max(a y + c, c) for a >= 0 and min(a y + c, c) below: scale
  and shift go into the convolution, and one comparison is left.
- The last transposed convolution leaves the parities as four channels at half the resolution. There the
  mask's convolution, dilated by two, is a dense one from each parity to the opposite one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ugosa_server.models.spleeter.config import (
    AUDIO_CHANNELS,
    KERNEL,
    LAST_UP,
    MASK_KERNEL,
    Activation,
    down_channels,
    up_channels,
)

_Rule = Callable[[Tensor], Tensor]
"""Applies to the values of a convolution."""

NORM_EPS = 1e-3
LEAKY_SLOPE = 0.2
SAME_PADDING = (1, 2, 1, 2)  # before and after: bins, frames
PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))


class InferenceNorm(nn.Module):
    """A batch norm that keeps to the statistics of its training data, whatever mode the network is in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return a and c of the affine map x -> a x + c that it is: [C] each."""
        scale = self.weight * torch.rsqrt(self.running_var + NORM_EPS)
        return scale, self.bias - scale * self.running_mean


class Decoder(nn.Module):
    """The way up of a U-Net: transposed convolutions, each followed by its activation and norm."""

    def __init__(self, channels: tuple[tuple[int, int], ...], activation: Activation) -> None:
        """Make a layer for each pair of channels before (skip included) and after it."""
        super().__init__()
        self.activation = activation
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(before, after, KERNEL, stride=2) for before, after in channels]
        )
        self.up_norm = nn.ModuleList([InferenceNorm(after) for _, after in channels])

    def inputs(self, features: list[Tensor], start: int) -> list[Tensor]:
        """Return what the layers from `start` on take of `UNet.encode`: from below, then the skips."""
        return [self.decode(features, 0, start), *features[max(1, start) :]]

    def decode(self, inputs: list[Tensor], start: int, stop: int) -> Tensor:
        """Go through the layers [start, stop).

        Args:
            inputs: of the layers from `start` on; for layer 0 they are what `UNet.encode` gives.
            start: first layer.
            stop: the layer after the last; what it takes from below is returned, [B, C, K / 2^n, F / 2^n],
                or [B, 4, K / 2, F / 2] for the mask layer.
        """
        features, *skips = inputs
        for layer in range(start, stop):
            if layer > 0:
                features = torch.cat([skips.pop(0), features], dim=1)
            features = self._last_up(features) if layer == LAST_UP else self._up(layer, features)
        return features

    def _up(self, layer: int, features: Tensor) -> Tensor:
        """One transposed convolution, its activation and norm: [B, C, h, w] -> [B, C', 2 h, 2 w]."""
        weight, bias, rule = self._rule(layer)
        taps = weight.transpose(0, 1).flip((2, 3))  # an output of odd index takes the even ones, 4, 2 and 0
        height, width = features.shape[-2:]
        parities = []
        for row, column in PARITIES:
            kernel = taps[:, :, 1 - row :: 2, 1 - column :: 2].contiguous(memory_format=torch.channels_last)
            parities.append(rule(F.conv2d(features, kernel, bias, padding=1)[..., :height, :width]))
        return _interleave(parities)

    def _last_up(self, features: Tensor) -> Tensor:
        """The last one, whose output has one channel, by parity: [B, C, h, w] -> [B, 4, h, w]."""
        weight, bias, rule = self._rule(LAST_UP)
        taps = F.pad(weight[:, 0].flip((1, 2)), (0, 1, 0, 1))  # [C, 6, 6]: of odd outputs, of even ones
        kernels = taps.reshape(-1, 3, 2, 3, 2).permute(2, 4, 0, 1, 3)  # [2, 2, C, 3, 3]
        kernel = kernels.flip((0, 1)).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return rule(F.conv2d(features, kernel, bias.repeat(4), padding=1))

    def _rule(self, layer: int) -> tuple[Tensor, Tensor, _Rule]:
        """Kernel and bias of a transposed convolution, and what is left of activation and norm after it."""
        scale, shift = self.up_norm[layer].scale_and_shift()  # type: ignore[operator]
        weight: Tensor = self.up[layer].weight  # type: ignore[assignment]
        bias: Tensor = self.up[layer].bias  # type: ignore[assignment]
        if self.activation == "elu":
            return weight, bias, lambda values: _affine(F.elu(values), scale, shift)
        infinite = torch.full_like(shift, torch.inf)
        low = _by_channel(torch.where(scale >= 0, shift, -infinite))
        high = _by_channel(torch.where(scale >= 0, infinite, shift))
        clamp = partial(torch.clamp, min=low, max=high)
        return weight * scale[:, None, None], bias * scale + shift, clamp


class UNet(Decoder):
    """Encoder, decoder and mask convolution of one source."""

    def __init__(self, filters: tuple[int, ...], activation: Activation) -> None:
        super().__init__(up_channels(filters), activation)
        self.down = nn.ModuleList(
            [nn.Conv2d(before, after, KERNEL, stride=2) for before, after in down_channels(filters)]
        )
        self.down_norm = nn.ModuleList([InferenceNorm(channels) for channels in filters[:-1]])
        self.mask = nn.Conv2d(1, AUDIO_CHANNELS, MASK_KERNEL, dilation=2)
        self._placement: Tensor
        self.register_buffer("_placement", _mask_placement(), persistent=False)

    def encode(self, magnitudes: Tensor) -> list[Tensor]:
        """Return what the six convolutions give, deepest first: [B, 2, K, F] -> [B, C, K / 2^n, F / 2^n]."""
        outputs: list[Tensor] = []
        padded = _padded(magnitudes)
        for k, conv in enumerate(self.down):
            features = conv(padded)
            outputs.insert(0, features)
            if k < len(self.down_norm):
                padded = self._activated_down(features, *self.down_norm[k].scale_and_shift())  # type: ignore[operator]
        return outputs

    def logits(self, features: Tensor) -> Tensor:
        """Return the mask before its sigmoid, by parity: [B, 4, K / 2, F / 2] -> [B, 4, 2, K / 2, F / 2]."""
        bias: Tensor = self.mask.bias  # type: ignore[assignment]
        taps = self.mask.weight.reshape(AUDIO_CHANNELS, -1).t()  # [16, 2]
        kernel = (self._placement @ taps).permute(0, 4, 1, 2, 3).flatten(0, 1)  # [4 * 2, 4, 5, 5]
        logits = F.conv2d(features, kernel, bias.repeat(4), padding=KERNEL // 2)
        return logits.view(len(logits), 4, AUDIO_CHANNELS, *logits.shape[-2:])

    def _activated_down(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Norm, activation and the padding of the next convolution: [B, C, h, w] -> [B, C, h + 3, w + 3]."""
        values = _affine(features, scale, shift)
        return _padded(F.elu_(values) if self.activation == "elu" else F.leaky_relu_(values, LEAKY_SLOPE))


def from_parities(values: Tensor) -> Tensor:
    """Put rows and columns of both parities in order: [..., 4, C, h, w] -> [..., C, 2 h, 2 w]."""
    *batch, _, channels, height, width = values.shape
    by_parity = values.reshape(*batch, 2, 2, channels, height, width)
    ordered = by_parity.movedim((-5, -4), (-3, -1))  # [..., C, h, 2, w, 2]
    return ordered.reshape(*batch, channels, 2 * height, 2 * width)


def _interleave(parities: list[Tensor]) -> Tensor:
    """Four times [B, C, h, w] -> [B, C, 2 h, 2 w], channels last in memory as they are."""
    last = torch.stack([values.permute(0, 2, 3, 1) for values in parities], dim=3)  # [B, h, w, 4, C]
    batch, height, width, _, channels = last.shape
    rows = last.view(batch, height, width, 2, 2, channels).transpose(2, 3)  # [B, h, 2, w, 2, C]
    return rows.reshape(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _padded(features: Tensor) -> Tensor:
    """As a convolution down takes it, channels last in memory: [B, C, h, w] -> [B, C, h + 3, w + 3]."""
    return F.pad(features.contiguous(memory_format=torch.channels_last), SAME_PADDING)


def _affine(values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return a x + c, channel by channel: [B, C, h, w]."""
    return torch.addcmul(_by_channel(shift), values, _by_channel(scale))


def _by_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def _mask_placement() -> Tensor:
    """Where each of the 16 taps of the mask's kernel goes: [4 outputs, 4 inputs, 5, 5, 16].

    Output 2 m + p reads the inputs 2 m + p - 3 + 2 j: of parity 1 - p, at m + p - 2 + j.
    """
    places = torch.zeros(2, 2, 2, 2, KERNEL, KERNEL, MASK_KERNEL, MASK_KERNEL)
    for p, q in PARITIES:
        for j in range(MASK_KERNEL):
            for i in range(MASK_KERNEL):
                places[p, q, 1 - p, 1 - q, p + j, q + i, j, i] = 1
    return places.reshape(4, 4, KERNEL, KERNEL, MASK_KERNEL**2)
