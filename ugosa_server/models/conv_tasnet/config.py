"""Sizes of a ConvTasNet, and the parameters that each depth trains. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import Depth, NetworkDefaults

NORM_EPS = 1e-8  # inside the square root, in both norms
MAX_BLOCKS = 1000  # the paper's network has 40


@dataclass(frozen=True)
class ConvTasNetConfig(NetworkDefaults):
    """Sizes of one ConvTasNet; the defaults are the published music model (10,977,872 parameters)."""

    sources: tuple[str, ...] = ("drums", "bass", "other", "vocals")
    audio_channels: int = 2
    sample_rate_hz: int = 44100
    encoder_filters: int = 256
    """N: features a frame."""
    encoder_length: int = 20
    """L: samples a frame, even; consecutive frames overlap by half."""
    bottleneck_channels: int = 256
    """B: channels between the blocks."""
    block_channels: int = 512
    """H: channels inside a block."""
    kernel_size: int = 3
    """P: taps of the depthwise convolutions, odd."""
    blocks_per_repeat: int = 10
    """X: blocks with dilations 1, 2, 4 ... 2^(X-1)."""
    repeats: int = 4
    """R: repeats of that stack."""

    def __post_init__(self) -> None:
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise BadOptionError(f"a network needs distinct source names, got {self.sources!r}")
        if self.encoder_length < 2 or self.encoder_length % 2:
            raise BadOptionError(f"encoder_length must be even and positive, got {self.encoder_length}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise BadOptionError(f"kernel_size must be odd and positive, got {self.kernel_size}")
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 1:
                raise BadOptionError(f"{name} must be at least 1, got {value}")
        if self.repeats * self.blocks_per_repeat > MAX_BLOCKS:
            raise BadOptionError(
                f"{self.repeats} repeats of {self.blocks_per_repeat} blocks are more than {MAX_BLOCKS} blocks"
            )

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next: L / 2."""
        return self.encoder_length // 2

    def frozen_repeats(self, depth: Depth) -> int:
        """Return how many repeats come before anything that is trained; all, if the decoder alone is.

        Below zero: the network has too few repeats for this depth.
        """
        if depth.level == 5:
            return self.repeats
        return self.repeats - max(4 - depth.level, 1)

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Return where the parameters of a depth lie, see `models.config`; none: too few repeats."""
        if self.frozen_repeats(depth) < 0:
            return ()
        prefixes: list[str] = []
        if depth.level <= 3:
            prefixes += [f"separator.network.2.{r}." for r in range(self.frozen_repeats(depth), self.repeats)]
        elif depth.level == 4:
            last_block = f"{self.repeats - 1}.{self.blocks_per_repeat - 1}"
            prefixes.append(f"separator.network.2.{last_block}.net.3.net.3.")
        if depth.level <= 4 and depth.end in ("D", "M"):
            prefixes.append("separator.network.3.")
        if depth.end == "D":
            prefixes.append("decoder.")
        return tuple(prefixes)

    def trained_share(self, depth: Depth) -> float:
        """Return the share of repeats that are trained through; what comes after them counts as one."""
        return max(1, self.repeats - self.frozen_repeats(depth)) / self.repeats
