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
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

RECTIFIED_FROM = 5  # rho above which the variance is trusted; torch_optimizer's N_sma_threshhold


class Ranger(torch.optim.Optimizer):
    """RAdam with LookAhead."""

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
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "k": k, "alpha": alpha})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients that are there; parameters without one stay as they are."""
        if closure is not None:
            raise ValueError("a closure is not supported: compute the gradients before the step")
        for group in self.param_groups:
            by_step: defaultdict[int, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                    state["slow_buffer"] = parameter.clone()
                state["step"] += 1
                by_step[state["step"]].append(parameter)
            for step, parameters in by_step.items():
                self._update(parameters, step, group)

    def _update(self, parameters: list[Tensor], step: int, group: dict[str, Any]) -> None:
        """Move parameters that have all made as many steps."""
        beta_1, beta_2 = group["betas"]
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
            torch._foreach_add_(denominator, group["eps"])
            torch._foreach_addcdiv_(parameters, mean, denominator, -rate * group["lr"])
        else:
            torch._foreach_add_(parameters, mean, alpha=-rate * group["lr"])
        if step % group["k"] == 0:
            slow = [self.state[parameter]["slow_buffer"] for parameter in parameters]
            torch._foreach_add_(slow, torch._foreach_sub(parameters, slow), alpha=group["alpha"])
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
