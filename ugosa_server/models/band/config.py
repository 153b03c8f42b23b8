"""The sizes of a band, and what a fine-tuning depth means in it. Free of torch.

The depths of Cantisani et al. (2021) act on the second stage as they do in any ConvTasNet. The first stage is
frozen, and what it makes of a segment is kept; but `L1` also trains the decoder of the vocals, so that marks
of the vocals are learned from. It costs several times as much as `L2`, where such marks are obeyed all the
same.
"""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import Depth, NetworkDefaults
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.spleeter.config import SpleeterConfig

VOCALS = "vocals"
FIRST, SECOND = "first.", "second."
VOCALS_UNET = "unets.0."


@dataclass(frozen=True)
class BandConfig(NetworkDefaults):
    """Sizes of both stages."""

    first: SpleeterConfig
    """Sizes of the Spleeter that gives the vocals and the rest of the mix, in this order."""
    second: ConvTasNetConfig
    """Sizes of the network of the rest; `vocals` is among its sources."""

    def __post_init__(self) -> None:
        if len(self.first.sources) != 2 or self.first.sources[0] != VOCALS:
            raise BadOptionError(
                f"the first stage must give {VOCALS} and what is left, not {', '.join(self.first.sources)}"
            )
        if self.first.high_band != "average":
            raise BadOptionError(
                f"the first stage must leave nothing out, but high_band is {self.first.high_band}"
            )
        if VOCALS not in self.second.sources or len(self.second.sources) < 2:
            raise BadOptionError(
                f"the second stage must have {VOCALS} among its sources, not {', '.join(self.second.sources)}"
            )
        ours = (self.first.sample_rate_hz, self.first.audio_channels)
        theirs = (self.second.sample_rate_hz, self.second.audio_channels)
        if ours != theirs:
            raise BadOptionError(
                f"the stages differ: {ours[0]} Hz and {ours[1]} channels, {theirs[0]} Hz and {theirs[1]}"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Those of the second stage, in its order."""
        return self.second.sources

    @property
    def audio_channels(self) -> int:
        """C: channels of both stages."""
        return self.second.audio_channels

    @property
    def sample_rate_hz(self) -> int:
        """The rate of both stages."""
        return self.second.sample_rate_hz

    @property
    def adaptation_defaults(self) -> dict[str, str | int | float | None]:
        """Segments that suit the first stage."""
        return self.first.adaptation_defaults

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, the first stage's first."""
        first = {FIRST + name: shape for name, shape in self.first.parameter_shapes().items()}
        return first | {SECOND + name: shape for name, shape in self.second.parameter_shapes().items()}

    def buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Statistics of the first stage's norms."""
        return {FIRST + name: shape for name, shape in self.first.buffer_shapes().items()}

    def trains_vocals(self, depth: Depth) -> bool:
        """Whether a depth trains the vocals' decoder too."""
        return depth.level == 1

    def trained_names(self, depth: Depth) -> tuple[str, ...]:
        """The parameters that a depth trains; none if the second stage has no such depth."""
        second = tuple(SECOND + name for name in self.second.trained_names(depth))
        if not second or not self.trains_vocals(depth):
            return second
        names = self.first.trained_names(depth)
        return tuple(FIRST + name for name in names if name.startswith(VOCALS_UNET)) + second

    def trained_share(self, depth: Depth) -> float:
        """The multiply-adds of what every step does, of all."""
        first, second = self.first.multiply_adds_per_s(), self.second.multiply_adds_per_s()
        if self.trains_vocals(depth):
            return (first * self.first.trained_share(depth) + second) / (first + second)
        return second * self.second.trained_share(depth) / (first + second)
