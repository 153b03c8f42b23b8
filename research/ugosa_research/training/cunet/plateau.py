"""When the loss stops falling: harder mixes, then a lower rate (section 4.3).

Both counters live in one frozen state, so that a resumed run decides as the uninterrupted one would have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ugosa_research.training.cunet.recipe import CunetRecipe


@dataclass(frozen=True)
class Plateau:
    """Where the curriculum and the halving stand."""

    stage: int
    """Most sources in a mix."""
    halvings: int = 0
    """The learning rate is the recipe's times 0.5 to this power."""
    stage_best: float = math.inf
    """Best validation loss of this stage: mixes of different stages do not compare."""
    stage_best_at: int = 0
    """Iteration of it, or of the beginning of the stage."""
    rate_best_at: int = 0
    """Iteration of the last better loss, beginning of a stage, or halving."""

    def after(self, iteration: int, loss: float, recipe: CunetRecipe) -> Plateau:
        """The state after a validation at `iteration` found `loss`."""
        if loss < self.stage_best * (1 - recipe.least_gain):
            return replace(self, stage_best=loss, stage_best_at=iteration, rate_best_at=iteration)
        state = self
        if iteration - state.rate_best_at >= recipe.halving_patience:
            state = replace(state, halvings=state.halvings + 1, rate_best_at=iteration)
        if state.stage < recipe.mix.most_sources and (
            iteration - state.stage_best_at >= recipe.stage_patience
        ):
            state = replace(
                state,
                stage=state.stage + 1,
                stage_best=math.inf,
                stage_best_at=iteration,
                rate_best_at=iteration,
            )
        return state

    def learning_rate(self, recipe: CunetRecipe) -> float:
        """Adam's step size now."""
        return recipe.learning_rate * 0.5**self.halvings
