"""How deep a network can be fine-tuned: `Lx:y` of Cantisani et al. (2021), and what each depth trains.

`x` says where training begins, `y` where it ends. In a ConvTasNet:

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
many repeats. What the same names mean in another network stands with its sizes (`NetworkConfig`).

Free of torch, so that the front process can tell what a model offers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ugosa_server.models.network_config import NetworkConfig

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

    def exists_in(self, config: NetworkConfig) -> bool:
        """Whether it trains anything in a network of these sizes."""
        return bool(self.trained_names(config))

    def trained_names(self, config: NetworkConfig) -> tuple[str, ...]:
        """The parameters it trains, in the network's order."""
        return config.trained_names(self)

    def trained_count(self, config: NetworkConfig) -> int:
        """How many numbers it trains (#TP of the paper's Table 1)."""
        shapes = config.parameter_shapes()
        return sum(math.prod(shapes[name]) for name in self.trained_names(config))


ALL_DEPTHS = tuple(Depth(level, end) for level in LEVELS for end in (ENDS if level < 5 else ("D",)))


def depths_of(config: NetworkConfig) -> tuple[Depth, ...]:
    """All depths that this network has, deepest first."""
    return tuple(depth for depth in ALL_DEPTHS if depth.exists_in(config))
