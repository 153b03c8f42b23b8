"""The sizes of a Spleeter, and what a fine-tuning depth means in it. Free of torch.

Hennequin, Khlif, Voituret and Moussallam, "Spleeter: a fast and efficient music source separation tool with
pre-trained models", JOSS 5(50), 2154 (2020). Every source has a U-Net of its own: six convolutions down, six
transposed convolutions up, and a last convolution that gives the mask. From the inside out, the depths of
Cantisani et al. (2021) are mapped so that they keep their order and their sense; they act on all U-Nets:

| x | trained from |
|---|---|
| 1 | the first transposed convolution: the whole decoder |
| 2 | the third |
| 3 | the fifth |
| 4 | the sixth, the last |
| 5 | the last convolution |

| y | trained to |
|---|---|
| D | the end: everything after the start |
| M | as D, with the last convolution frozen |
| 3 | as D, with the last convolution and the last transposed one frozen |

Each transposed convolution comes with the scale and shift of its norm. The encoder is always frozen. Norms
keep the statistics of the training data: those of one song would make the network another one before any mark
is learned from. Dropout is off, as in the paper's adaptation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import AdaptationDefaults, Depth, NetworkDefaults, check_words

Activation = Literal["leaky_relu", "elu"]
"""Leaky ReLU (0.2) on the way down and ReLU on the way up, or ELU on both."""

MaskFunction = Literal["sigmoid", "softmax"]
"""Function after the last convolutions: of each alone, or of all sources of a bin together."""

HighBand = Literal["average", "zero"]
"""The mask of the bins that the network does not see: the mean of those that it does, or 0 (the original)."""

AUDIO_CHANNELS = 2
SAMPLE_RATE_HZ = 44100
FFT_SAMPLES = 4096
HOPS_A_FRAME = 4
SEEN_BINS = 1024  # of 2049: up to 11,025 Hz
FRAMES_MULTIPLE = 64  # halved six times
PUBLISHED_FILTERS = (16, 32, 64, 128, 256, 512)
KERNEL = 5
MASK_KERNEL = 4

N_LAYERS = len(PUBLISHED_FILTERS)
LAST_UP = N_LAYERS - 1
MASK_LAYER = N_LAYERS
_STARTS = {1: 0, 2: 2, 3: LAST_UP - 1, 4: LAST_UP, 5: MASK_LAYER}
TRAINED_SHARES = {1: 0.64, 2: 0.43, 3: 0.16, 4: 0.02, 5: 0.003}
"""Multiply-adds from the first trained layer on, of all, by level; with the published filters."""

SONG_STD = 0.1  # -20 dBFS: of the mono mean of ordinary mixes


@dataclass(frozen=True)
class SpleeterConfig(NetworkDefaults):
    """Sizes of a Spleeter of any number of sources; its masks are applied inside of the network."""

    sources: tuple[str, ...]
    """Names of the outputs, in order (S of them)."""
    activation: Activation = "leaky_relu"
    """Functions after all convolutions but the last."""
    mask_function: MaskFunction = "sigmoid"
    """Function after the last convolutions."""
    high_band: HighBand = "average"
    """Rule for the mix above 11 kHz; with "zero" it is in no source."""
    song_std: float = SONG_STD
    """The level at which it hears a song: the standard deviation of the mono mean, which comes as 1."""

    filters: tuple[int, ...] = PUBLISHED_FILTERS
    """Channels after each of the six convolutions of a U-Net."""

    audio_channels: ClassVar[int] = AUDIO_CHANNELS
    sample_rate_hz: ClassVar[int] = SAMPLE_RATE_HZ
    adaptation_defaults: ClassVar[AdaptationDefaults] = {"segment_s": 4.43}  # fills a multiple of 64 frames

    def __post_init__(self) -> None:
        if len(self.filters) != N_LAYERS or min(self.filters) < 1:
            raise BadOptionError(f"filters must be {N_LAYERS} numbers of at least 1, got {self.filters}")
        if len(self.sources) < 2 or len(set(self.sources)) != len(self.sources):
            raise BadOptionError(f"a Spleeter needs at least two distinct sources, got {self.sources!r}")
        check_words(self)
        if not 0 < self.song_std < math.inf:
            raise BadOptionError(f"song_std must be above 0, got {self.song_std:g}")

    def first_trained_layer(self, depth: Depth) -> int:
        """Where training begins: a transposed convolution, from 0 on, or MASK_LAYER."""
        return _STARTS[depth.level]

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Where the parameters of a depth lie; none for `L4:3` and what trains nothing."""
        parts = decoder_parts(depth, MASK_LAYER, "mask")
        return tuple(f"unets.{i}.{part}" for i in range(len(self.sources)) for part in parts)

    def trained_share(self, depth: Depth) -> float:
        """A part of the decoder."""
        return TRAINED_SHARES[depth.level]


PUBLISHED_CONFIGS: Mapping[str, SpleeterConfig] = {
    "2stems": SpleeterConfig(("vocals", "accompaniment")),
    "4stems": SpleeterConfig(("vocals", "drums", "bass", "other"), activation="elu"),
    "5stems": SpleeterConfig(
        ("vocals", "piano", "drums", "bass", "other"), activation="elu", mask_function="softmax"
    ),
}
"""The models of Deezer's release, by the names of its files."""


def down_channels(filters: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Channels before and after each convolution of the encoder."""
    return tuple(zip((AUDIO_CHANNELS, *filters[:-1]), filters, strict=True))


def up_channels(filters: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Channels before (skip included) and after each transposed convolution."""
    after = (*reversed(filters[:-1]), 1)
    before = (filters[-1], *(2 * channels for channels in after[:-1]))
    return tuple(zip(before, after, strict=True))


def decoder_parts(depth: Depth, last: int, last_name: str) -> list[str]:
    """Where the parameters of a depth lie in a decoder whose layer `last` is a convolution of that name."""
    layers = range(min(_STARTS[depth.level], last), last + {"D": 1, "M": 0, "3": -1}[depth.end])
    parts = [f"{part}.{k}." for k in layers if k < last for part in ("up", "up_norm")]
    return [*parts, f"{last_name}."] if last in layers else parts
