"""How deep a network can be fine-tuned: `Lx:y` of Cantisani et al. (2021), and what each depth trains.

`x` says where training begins, `y` where it ends:

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
many repeats.

Free of torch, so that the front process can tell what a model offers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ugosa_server.models.conv_tasnet_config import ConvTasNetConfig, parameter_shapes

LEVELS = (1, 2, 3, 4, 5)
ENDS = ("D", "M", "3")


@dataclass(frozen=True)
class Depth:
    """One `Lx:y`."""

    level: int
    """x, 1 to 5: where training begins."""
    end: str
    """y, "D", "M" or "3": where it ends."""

    def __str__(self) -> str:
        return f"L{self.level}:{self.end}"

    def frozen_repeats(self, config: ConvTasNetConfig) -> int:
        """How many repeats come before anything that is trained; all of them when the decoder alone is."""
        if self.level == 5:
            return config.repeats
        return config.repeats - max(4 - self.level, 1)

    def exists_in(self, config: ConvTasNetConfig) -> bool:
        """Whether a network of these sizes has enough repeats."""
        return self.frozen_repeats(config) >= 0

    def trained_names(self, config: ConvTasNetConfig) -> tuple[str, ...]:
        """The parameters it trains, in the network's order."""
        prefixes: list[str] = []
        if self.level <= 3:
            prefixes += [
                f"separator.network.2.{r}." for r in range(self.frozen_repeats(config), config.repeats)
            ]
        elif self.level == 4:
            last_repeat, last_block = config.repeats - 1, config.blocks_per_repeat - 1
            prefixes.append(f"separator.network.2.{last_repeat}.{last_block}.net.3.net.3.")
        if self.level <= 4 and self.end in ("D", "M"):
            prefixes.append("separator.network.3.")
        if self.end == "D":
            prefixes.append("decoder.")
        return tuple(name for name in parameter_shapes(config) if name.startswith(tuple(prefixes)))

    def trained_count(self, config: ConvTasNetConfig) -> int:
        """How many numbers it trains (#TP of the paper's Table 1)."""
        shapes = parameter_shapes(config)
        return sum(math.prod(shapes[name]) for name in self.trained_names(config))


ALL_DEPTHS = tuple(Depth(level, end) for level in LEVELS for end in (ENDS if level < 5 else ("D",)))


def depths_of(config: ConvTasNetConfig) -> tuple[Depth, ...]:
    """All depths that a network of these sizes has, deepest first."""
    return tuple(depth for depth in ALL_DEPTHS if depth.exists_in(config))
