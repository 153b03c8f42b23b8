"""Train a ConvTasNet: a loss on waveforms, Adam, warm-up and decay, a running average, and an exact resume.

Batches are a function of the step, so a run that was killed goes on to the same weights as one that was not
(on one machine, at one number of threads).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugosa_research.songs.basis import start_from_cosines
from ugosa_research.songs.two_stem import as_known
from ugosa_research.training.augment import Batch
from ugosa_research.training.first_stage import shared_vocals, without_vocals
from ugosa_research.training.training_config import TrainingConfig
from ugosa_research.training.twin_filters import has_twin_filters, separate_with_twins
from ugosa_research.training.widen import widened
from ugosa_server.errors import ConfigError
from ugosa_server.files import replacing
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.fast import Scratch
from ugosa_server.models.conv_tasnet.network import ConvTasNet

EMA_WARMUP_STEPS = (
    10  # the average forgets the first weights fast: decay (1 + t) / (EMA_WARMUP_STEPS + t) early on
)
PROGRESS_EVERY_STEPS = 10
RMS_EPS = 1e-8  # keeps the root's gradient finite at silence

BatchOfStep = Callable[[int], Batch]
"""Examples of each step."""


@dataclass(frozen=True)
class StepReport:
    """Where a training stands."""

    step: int
    """Steps done."""
    loss: float
    """Mean L1 since the last report."""
    learning_rate: float
    audio_s_per_s: float
    """Seconds of mix trained on in a second of wall time."""


class TrainingState:
    """Network, optimiser, running average and step: what a checkpoint holds."""

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.seed)
        self.network = ConvTasNet(config.network)
        if config.start == "cosines":
            start_from_cosines(self.network)
        if config.start_from:
            sizes, weights = load_checkpoint(Path(config.start_from))
            self.network.load_state_dict(_of_sizes(weights, sizes, config))
        self.network.to(config.device)
        self.twins = (
            config.device == "cpu"
            and config.basis_learning_rate_share == 0
            and has_twin_filters(self.network)
        )
        self.workers = max(1, min(config.threads, config.batch_size)) if self.twins else 1
        self.scratches = [Scratch() for _ in range(self.workers)]
        self.executor = ThreadPoolExecutor(self.workers)
        self.optimiser = torch.optim.Adam(_parameter_groups(self.network, config), fused=True)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.step = 0

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

    def averaged_network(self) -> ConvTasNet:
        """A copy of the network with the running average as its weights."""
        network = ConvTasNet(self.network.config)
        network.load_state_dict(self.average)
        return network.to(next(self.network.parameters()).device)


def _of_sizes(weights: dict[str, Tensor], sizes: NetworkConfig, config: TrainingConfig) -> dict[str, Tensor]:
    if sizes == config.network:
        return weights
    n_filters = config.network.encoder_filters
    if not (
        isinstance(sizes, ConvTasNetConfig)
        and sizes.encoder_filters < n_filters
        and replace(sizes, encoder_filters=n_filters) == config.network
    ):
        raise ConfigError(
            f"{config.start_from} has other sizes than this training, not only fewer filters: {sizes}"
        )
    return widened(weights, sizes, config.network)


def _parameter_groups(network: ConvTasNet, config: TrainingConfig) -> list[dict[str, Any]]:
    basis = [*network.encoder.parameters(), *network.decoder.parameters()]
    for parameter in basis:
        parameter.requires_grad_(config.basis_learning_rate_share > 0)
    return [
        {"params": list(network.separator.parameters()), "share": 1.0},
        {"params": basis, "share": config.basis_learning_rate_share},
    ]


def l1_loss(estimates: Tensor, stems: Tensor) -> Tensor:
    """Mean |s - s_hat|, the published loss."""
    return (estimates - stems).abs().mean()


def rms_loss(estimates: Tensor, stems: Tensor) -> Tensor:
    """sqrt(mean (s - s_hat)^2) a source and example, then their mean.

    On the scale of L1, but what SDR measures: where a source is uncertain its best guess is the mean, while
    that of L1 is the median, which for a sparse source is silence.
    """
    return ((estimates - stems).square().mean(dim=(-2, -1)) + RMS_EPS).sqrt().mean()


LOSSES = {"l1": l1_loss, "rms": rms_loss}


def train_steps(
    state: TrainingState, config: TrainingConfig, batch_of: BatchOfStep, until_step: int
) -> Iterator[StepReport]:
    """Train up to `until_step`, reporting every few steps and at the end."""
    losses: list[Tensor] = []
    started_s = time.monotonic()
    while state.step < until_step:
        losses.append(train_step(state, config, batch_of(state.step)))
        if state.step % PROGRESS_EVERY_STEPS == 0 or state.step == until_step:
            audio_s = len(losses) * config.batch_size * config.segment_s
            yield StepReport(
                state.step,
                float(torch.stack(losses).mean()),
                config.learning_rate_at(state.step - 1),
                audio_s / (time.monotonic() - started_s),
            )
            losses, started_s = [], time.monotonic()


def train_step(state: TrainingState, config: TrainingConfig, batch: Batch) -> Tensor:
    """One optimiser step; returns the loss, detached."""
    for group in state.optimiser.param_groups:
        group["lr"] = group["share"] * config.learning_rate_at(state.step)
    loss = _learn(state, config, batch)
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_norm)
    state.optimiser.step()
    decay = min(config.ema_decay, (1 + state.step) / (EMA_WARMUP_STEPS + state.step))
    with torch.no_grad():
        for name, value in state.network.state_dict().items():
            state.average[name].lerp_(value, 1 - decay)
    state.step += 1
    return loss


def _learn(state: TrainingState, config: TrainingConfig, batch: Batch) -> Tensor:
    """Set the gradients; returns the loss, detached.

    Workers take examples side by side, each on one thread: they wait for each other once a step, threads that
    share every matrix product many hundred times.
    """
    stems = torch.from_numpy(batch.stems).to(config.device)  # [B, S, C, T]
    two_stem = torch.from_numpy(batch.two_stem).to(config.device)
    given = batch.accompaniment
    mixes = stems.sum(dim=1) if given is None else torch.from_numpy(given).to(config.device)  # [B, C, T]
    trained = [parameter for parameter in state.network.parameters() if parameter.requires_grad]

    def part(scratch: Scratch, mix: Tensor, stems: Tensor, two_stem: Tensor) -> tuple[Tensor, ...]:
        if state.twins:
            estimates = separate_with_twins(state.network, mix, scratch)
        else:
            with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bfloat16"):
                estimates = state.network(mix)
        if given is None:
            known = as_known(estimates.float(), two_stem), as_known(stems, two_stem)
        else:
            known = shared_vocals(estimates.float()), without_vocals(stems)
        loss = LOSSES[config.loss](*known)
        loss = loss * (len(stems) / len(batch.stems))
        return loss.detach(), *torch.autograd.grad(loss, trained)

    chunks = [tensor.tensor_split(state.workers) for tensor in (mixes, stems, two_stem)]
    parts = list(state.executor.map(part, state.scratches, *chunks))
    sums: list[Tensor] = [reduce(torch.add, values) for values in zip(*parts, strict=True)]
    loss, *gradients = sums
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.grad = gradient
    return loss
