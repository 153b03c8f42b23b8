"""Fine-tuning strategies: `P-Lx:y`, `B-Lx:y` and `B0` of the paper, and `R-Lx:y`.

`P-` learns with the marks, from both terms of Eq. 2; `B-` without them, from the reconstruction term alone
with h = 1 (the unsupervised baseline); `B0` is the unadapted network. `R-` learns with the marks too, from
remixes of the song's own stretches (`remix.py`). The parameters of a depth `Lx:y` stand in
`models/config.py`. Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.errors import BadOptionError, did_you_mean
from ugosa_server.models.config import ALL_DEPTHS, Depth, NetworkConfig, depths_of


class Objective(StrEnum):
    """Goal of a fine-tuning, by the letter of its strategies."""

    MARKS = "P"
    """Eq. 2: the sources add up to the mix, and marked silence stays silent."""
    REMIX = "R"
    """Remixes of stretches with known silence are taken apart again."""
    SUM = "B"
    """The sources add up to the mix, whatever is marked."""


@dataclass(frozen=True)
class Strategy:
    """Goal of a fine-tuning, and the part of a network that it trains."""

    objective: Objective
    """Goal; nothing follows from it in `B0`."""
    depth: Depth | None
    """Trained part; None = nothing (`B0`)."""

    def __str__(self) -> str:
        return "B0" if self.depth is None else f"{self.objective}-{self.depth}"

    @property
    def uses_marks(self) -> bool:
        """True if it learns from marked silence: `P-` and `R-`."""
        return self.depth is not None and self.objective is not Objective.SUM


UNADAPTED = Strategy(Objective.SUM, depth=None)
ALL_STRATEGIES = (*(Strategy(goal, depth) for goal in Objective for depth in ALL_DEPTHS), UNADAPTED)


def parse_strategy(name: str) -> Strategy:
    """Read a name such as "P-L3:D".

    Raises:
        BadOptionError: there is no strategy of that name; the message says the nearest one, or why.
    """
    by_name = {str(strategy): strategy for strategy in ALL_STRATEGIES}
    if name in by_name:
        return by_name[name]
    if name[:1] in tuple(Objective) and name[1:] in ("-L5:M", "-L5:3"):
        raise BadOptionError(
            f"strategy {name!r} would train nothing: L5 is the decoder alone; use {name[:4]}:D"
        )
    hint = did_you_mean(name.upper(), by_name) or "names look like 'P-L3:D', 'R-L3:M' or 'B0'"
    raise BadOptionError(f"there is no strategy {name!r}; {hint}")


def require_strategy_exists(strategy: Strategy, config: NetworkConfig) -> None:
    """Refuse a depth that a network of these sizes does not have.

    Raises:
        BadOptionError: there is nothing in the network that it would train.
    """
    if strategy.depth is not None and not config.trained_prefixes(strategy.depth):
        offered = ", ".join(str(depth) for depth in depths_of(config))
        raise BadOptionError(
            f"strategy {strategy} is not for this model: it has no {strategy.depth}; its depths are {offered}"
        )
