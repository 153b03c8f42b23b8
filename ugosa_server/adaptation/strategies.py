"""Fine-tuning strategies by the paper's names: `P-Lx:y`, `B-Lx:y` and `B0`.

`P-` learns with the marks, from both terms of Eq. 2; `B-` without them, from the reconstruction term alone
with h = 1 (the unsupervised baseline); `B0` is the unadapted network. The parameters of a depth `Lx:y` stand
in `models/config.py`. Free of torch.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import ALL_DEPTHS, Depth, NetworkConfig, depths_of


@dataclass(frozen=True)
class Strategy:
    """Trained part of a network, and whether the marks are used for it."""

    uses_marks: bool
    """True = `P-`; False = `B-` and `B0`."""
    depth: Depth | None
    """Trained part; None = nothing (`B0`)."""

    def __str__(self) -> str:
        if self.depth is None:
            return "B0"
        return f"{'P' if self.uses_marks else 'B'}-{self.depth}"

    def trainable_count(self, config: NetworkConfig) -> int:
        """Number of parameters that it trains in a network of these sizes."""
        return self.depth.trained_count(config) if self.depth else 0


UNADAPTED = Strategy(uses_marks=False, depth=None)
ALL_STRATEGIES = (*(Strategy(marks, depth) for marks in (True, False) for depth in ALL_DEPTHS), UNADAPTED)


def parse_strategy(name: str) -> Strategy:
    """Read a name such as "P-L3:D".

    Raises:
        BadOptionError: there is no strategy of that name; the message says the nearest one, or why.
    """
    by_name = {str(strategy): strategy for strategy in ALL_STRATEGIES}
    if name in by_name:
        return by_name[name]
    if name[:1] in ("P", "B") and name[1:] in ("-L5:M", "-L5:3"):
        raise BadOptionError(
            f"strategy {name!r} would train nothing: L5 is the decoder alone; use {name[:4]}:D"
        )
    near = difflib.get_close_matches(name.upper(), by_name, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "names look like 'P-L3:D', 'B-L3:M' or 'B0'"
    raise BadOptionError(f"there is no strategy {name!r}; {hint}")


def require_strategy_exists(strategy: Strategy, config: NetworkConfig) -> None:
    """Refuse a depth that a network of these sizes does not have.

    Raises:
        BadOptionError: there is nothing in the network that it would train.
    """
    if strategy.depth is not None and not strategy.depth.exists_in(config):
        offered = ", ".join(str(depth) for depth in depths_of(config))
        raise BadOptionError(
            f"strategy {strategy} is not for this model: it has no {strategy.depth}; its depths are {offered}"
        )
