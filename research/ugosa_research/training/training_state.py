"""Steps of a training: Adam, warm-up and decay, a running average of the weights, and an exact resume.

Batches are a function of the step, so a run that was killed goes on to the same weights as one that was not
(on one machine, at one number of threads).
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ugosa_research.training.augment import Batch
from ugosa_research.training.training_config import TrainingConfig
from ugosa_server.errors import ConfigError
from ugosa_server.files import replacing
from ugosa_server.models.network import SeparationNetwork

EMA_WARMUP_STEPS = (
    10  # the average forgets the first weights fast: decay (1 + t) / (EMA_WARMUP_STEPS + t) early on
)
PROGRESS_EVERY_STEPS = 10

BatchOfStep = Callable[[int], Batch]
"""Examples of each step."""


@dataclass(frozen=True)
class StepReport:
    """Where a training stands."""

    step: int
    """Steps done."""
    loss: float
    """Mean since the last report."""
    learning_rate: float
    audio_s_per_s: float
    """Seconds of mix trained on in a second of wall time."""


class TrainingState(ABC):
    """Network, optimiser, running average and step: what a checkpoint holds."""

    workers = 1
    """Examples of a batch that are learned from side by side, each on threads of its own."""

    def __init__(
        self, config: TrainingConfig, model: SeparationNetwork, groups: list[dict[str, Any]], part: str = ""
    ) -> None:
        """Begin at step 0.

        Args:
            config: of the training.
            model: the network that is validated.
            groups: parameters for Adam, each group with its `share` of the learning rate.
            part: name of the module of `model` that is trained; all of it if empty.
        """
        self.config = config
        self._model = model.to(config.device)
        self._part = part
        self.network: nn.Module = model.get_submodule(part)
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.step = 0

    @abstractmethod
    def learn(self, batch: Batch) -> Tensor:
        """Set the gradients; returns the loss, detached."""

    def take_step(self, batch: Batch) -> Tensor:
        """Take one step of the optimiser; returns the loss, detached."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["share"] * self.config.learning_rate_at(self.step)
        loss = self.learn(batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_norm)
        self.optimiser.step()
        decay = min(self.config.ema_decay, (1 + self.step) / (EMA_WARMUP_STEPS + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        return loss

    def averaged_network(self) -> SeparationNetwork:
        """Copy the network that is validated, with the running average as weights of its trained part."""
        network = copy.deepcopy(self._model)
        network.get_submodule(self._part).load_state_dict(self.average)
        return network

    def save(self, path: Path) -> None:
        """Write the whole state; `path` is the old file or the whole new one."""
        saved = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        with replacing(path) as file:
            torch.save(saved, file)

    def load(self, path: Path) -> None:
        """Go on from a saved state (tensors and numbers only: no class is unpickled)."""
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(saved["network"])
            shares = [group["share"] for group in self.optimiser.param_groups]
            self.optimiser.load_state_dict(saved["optimiser"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise ConfigError(f"{path} is no state of this training: {error}") from error
        for group, share in zip(self.optimiser.param_groups, shares, strict=True):
            group["share"] = share  # the config decides, so that a resumed run may thaw the basis
        for name, value in saved["average"].items():
            self.average[name].copy_(value)
        self.step = int(saved["step"])


def train_steps(state: TrainingState, batch_of: BatchOfStep, until_step: int) -> Iterator[StepReport]:
    """Train up to `until_step`, reporting every few steps and at the end."""
    losses: list[Tensor] = []
    started_s = time.monotonic()
    while state.step < until_step:
        losses.append(state.take_step(batch_of(state.step)))
        if state.step % PROGRESS_EVERY_STEPS == 0 or state.step == until_step:
            audio_s = len(losses) * state.config.batch_size * state.config.segment_s
            yield StepReport(
                state.step,
                float(torch.stack(losses).mean()),
                state.config.learning_rate_at(state.step - 1),
                audio_s / (time.monotonic() - started_s),
            )
            losses, started_s = [], time.monotonic()
