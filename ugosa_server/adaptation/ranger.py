"""Ranger: RAdam (Liu et al. 2020) with LookAhead (Zhang et al. 2019), all tensors in a few calls.

Operation by operation, and in the names of its state, this is `torch_optimizer.Ranger`, the authors' choice,
which goes through the parameters one by one: on a GPU a dozen launches for each. With step t,

    m = beta_1 m + (1 - beta_1) g            v = beta_2 v + (1 - beta_2) g^2
    rho_inf = 2 / (1 - beta_2) - 1           rho = rho_inf - 2 t beta_2^t / (1 - beta_2^t)
    r = sqrt((1 - beta_2^t) (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
    theta -= lr r / (1 - beta_1^t) m / (sqrt(v) + eps)     where rho > 5
    theta -= lr / (1 - beta_1^t) m                         elsewhere, in the first steps

and after every k-th step phi += alpha (theta - phi), theta = phi. v is not corrected.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

RECTIFIED_FROM = 5  # rho above which the variance is trusted; torch_optimizer's N_sma_threshhold


class Ranger:
    """RAdam with LookAhead.

    Not a `torch.optim.Optimizer`: making the first one imports torch's compiler, which costs a worker's first
    job a second, and the worker 70 MB for good.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        k: int,
        alpha: float,
    ) -> None:
        """Choose what to optimise.

        Args:
            parameters: dense, float32.
            lr: learning rate.
            betas: decay of the averages of the gradient and of its square.
            eps: added to the root of the latter.
            k: steps between two LookAheads.
            alpha: how far LookAhead's slow weights follow.
        """
        self._parameters = list(parameters)
        self._lr, self._betas, self._eps, self._k, self._alpha = lr, betas, eps, k, alpha
        self.state: dict[Tensor, dict[str, Any]] = {}
        """Of the parameters that have had a gradient, by the names of `torch_optimizer.Ranger`."""

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Make one step with the gradients that are there; parameters without one stay as they are."""
        by_step: defaultdict[int, list[Tensor]] = defaultdict(list)
        for parameter in self._parameters:
            if parameter.grad is None:
                continue
            if parameter not in self.state:
                self.state[parameter] = {
                    "step": 0,
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                    "slow_buffer": parameter.detach().clone(),
                }
            self.state[parameter]["step"] += 1
            by_step[self.state[parameter]["step"]].append(parameter)
        for step, parameters in by_step.items():
            self._update(parameters, step)

    def state_dict(self) -> dict[int, dict[str, Any]]:
        """`state` by the places of the parameters."""
        return {
            index: self.state[parameter]
            for index, parameter in enumerate(self._parameters)
            if parameter in self.state
        }

    def load_state_dict(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        """Go on from what another optimiser's `state_dict` gave, on the devices of these parameters."""
        self.state = {
            self._parameters[index]: {
                name: value.to(self._parameters[index].device, copy=True)
                if isinstance(value, Tensor)
                else value
                for name, value in values.items()
            }
            for index, values in state.items()
        }

    def _update(self, parameters: list[Tensor], step: int) -> None:
        """Move parameters that have all made as many steps."""
        beta_1, beta_2 = self._betas
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        mean = [self.state[parameter]["exp_avg"] for parameter in parameters]
        square = [self.state[parameter]["exp_avg_sq"] for parameter in parameters]
        torch._foreach_mul_(square, beta_2)
        torch._foreach_addcmul_(square, gradients, gradients, 1 - beta_2)
        torch._foreach_mul_(mean, beta_1)
        torch._foreach_add_(mean, gradients, alpha=1 - beta_1)
        rate, is_rectified = _rate(step, beta_1, beta_2)
        if is_rectified:
            denominator = torch._foreach_sqrt(square)
            torch._foreach_add_(denominator, self._eps)
            torch._foreach_addcdiv_(parameters, mean, denominator, -rate * self._lr)
        else:
            torch._foreach_add_(parameters, mean, alpha=-rate * self._lr)
        if step % self._k == 0:
            slow = [self.state[parameter]["slow_buffer"] for parameter in parameters]
            torch._foreach_add_(slow, torch._foreach_sub(parameters, slow), alpha=self._alpha)
            torch._foreach_copy_(parameters, slow)


def _rate(step: int, beta_1: float, beta_2: float) -> tuple[float, bool]:
    """The factor of lr in a step, and whether the step is divided by sqrt(v) + eps."""
    beta_2_t = beta_2**step
    rho_inf = 2 / (1 - beta_2) - 1
    rho = rho_inf - 2 * step * beta_2_t / (1 - beta_2_t)
    if rho <= RECTIFIED_FROM:
        return 1.0 / (1 - beta_1**step), False
    r = math.sqrt((1 - beta_2_t) * (rho - 4) / (rho_inf - 4) * (rho - 2) / rho * rho_inf / (rho_inf - 2))
    return r / (1 - beta_1**step), True
