"""Sizes of a network, and the meaning of fine-tuning in it, without loading it. Free of torch.

Each architecture has a frozen dataclass that fulfils `NetworkConfig`; a checkpoint states its fields as JSON.
The front process lists models and validates options with it.

A depth `Lx:y` of Cantisani et al. (2021) says how much of a network is fine-tuned: `x` where training begins,
`y` where it ends. In a ConvTasNet:

| x | trained from |
|---|---|
| 1, 2, 3 | the third, second, first repeat from the end (of four: the second, third, fourth repeat) |
| 4 | the last 1x1 convolution of the last block |
| 5 | the decoder |

| y | trained to |
|---|---|
| D | the decoder: everything after the start |
| M | the mask convolution: the decoder is frozen |
| 3 | the last repeat: mask convolution and decoder are frozen |

The encoder, the first norm and the bottleneck are always frozen. `L5:M` and `L5:3` would train nothing, so
they do not exist; `L4:3` trains the last 1x1 convolution alone. `L1` and `L2` exist only in networks with as
many repeats. What the same names mean in another network stands beside its sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, get_origin, get_type_hints

from ugosa_server.errors import BadOptionError

AdaptationDefaults = Mapping[str, str | int | float | None]
"""Adaptation options that suit a network better than the paper's, by field name."""

MaskKind = Literal["soft", "hard", "shared"]
"""Masks as a network outputs them, rounded to 0 or 1, or each bin shared out among the sources."""


@dataclass(frozen=True)
class MaskGrid:
    """The STFT on whose bins and frames the masks of a network stand, at the network's own rate.

    Hann window, frames centred on multiples of the hop.
    """

    fft_samples: int
    """Length of a window; F = fft_samples / 2 + 1 bins."""
    hop_samples: int
    """From one frame to the next."""

    @property
    def bins(self) -> int:
        """F."""
        return self.fft_samples // 2 + 1


@dataclass(frozen=True)
class VideoInput:
    """Pictures of the players, as the input of a network that is conditioned on video."""

    slots: int
    """Players at most, each with a slot of their own."""
    interval_s: float
    """Seconds between two pictures of a player."""


class NetworkDefaults(Protocol):
    """Answers of a network of waveforms whose sources add up to the mix, with no limit of length."""

    @property
    def stems(self: NetworkConfig) -> tuple[str, ...]:
        """Names that marks and jobs use: the sources, and `residual` if these are not the whole mix."""
        return self.sources

    @property
    def max_segment_s(self) -> float:
        """The longest segment that the network can process at once, in seconds; may be infinite."""
        return math.inf

    @property
    def mask_grid(self) -> MaskGrid | None:
        """The STFT of a network that outputs masks (`network.MaskNetwork`); None: it outputs waveforms."""
        return None

    @property
    def video(self) -> VideoInput | None:
        """The pictures that the network is conditioned on; None: no video input."""
        return None

    @property
    def adaptation_defaults(self) -> AdaptationDefaults:
        """Options that suit this kind of network; empty: the paper's."""
        return {}

    def trained_share(self, depth: Depth) -> float:
        """Share of the network that every step of a fine-tuning at this depth runs, 0 < share <= 1."""
        return 1.0

    @property
    def separate_cost(self) -> float:
        """Work of `SeparationNetwork.separate` as a multiple of that of its `forward`, at least 1."""
        return 1.0


class NetworkConfig(NetworkDefaults, Protocol):
    """Sizes of a network, and what fine-tuning means in it."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the outputs, in order (S of them)."""

    @property
    def audio_channels(self) -> int:
        """C: channels of the mix and of every stem."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate the weights were trained at."""

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Beginnings of the names of the parameters that a depth trains; none: there is no such depth."""


@dataclass(frozen=True)
class Depth:
    """One `Lx:y`."""

    level: int
    """x, 1 to 5: where training begins."""
    end: str
    """y, "D", "M" or "3": where it ends."""

    def __str__(self) -> str:
        return f"L{self.level}:{self.end}"


ALL_DEPTHS = (*(Depth(level, end) for level in (1, 2, 3, 4) for end in "DM3"), Depth(5, "D"))


def depths_of(config: NetworkConfig) -> tuple[Depth, ...]:
    """Return all depths that this network has, deepest first."""
    return tuple(depth for depth in ALL_DEPTHS if config.trained_prefixes(depth))


def check_words(config: object) -> None:
    """Refuse sizes of which a field of a Literal type holds another word."""
    for name, kind in get_type_hints(type(config)).items():
        word = getattr(config, name)
        if get_origin(kind) is Literal and word not in get_args(kind):
            raise BadOptionError(f"{name} must be {' or '.join(get_args(kind))}, got {word!r}")
