"""Train a ConvTasNet with a loss on waveforms."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugosa_research.songs.basis import start_from_cosines
from ugosa_research.songs.two_stem import as_known
from ugosa_research.training.augment import Batch
from ugosa_research.training.training_config import TrainingConfig
from ugosa_research.training.training_state import TrainingState
from ugosa_research.training.twin_filters import has_twin_filters, separate_with_twins
from ugosa_research.training.widen import widened
from ugosa_server.errors import ConfigError
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.fast import Scratch
from ugosa_server.models.conv_tasnet.network import ConvTasNet

RMS_EPS = 1e-8  # keeps the root's gradient finite at silence


class ConvTasNetTraining(TrainingState):
    """A ConvTasNet, all of which is trained but a frozen basis."""

    network: ConvTasNet

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.seed)
        network = ConvTasNet(config.network)
        if config.start == "cosines":
            start_from_cosines(network)
        if config.start_from:
            sizes, weights = load_checkpoint(Path(config.start_from))
            network.load_state_dict(_of_sizes(weights, sizes, config))
        super().__init__(config, network, _parameter_groups(network, config))
        self.twins = (
            config.device == "cpu" and config.basis_learning_rate_share == 0 and has_twin_filters(network)
        )
        self.workers = max(1, min(config.threads, config.batch_size)) if self.twins else 1
        self.scratches = [Scratch() for _ in range(self.workers)]
        self.executor = ThreadPoolExecutor(self.workers)

    def learn(self, batch: Batch) -> Tensor:
        """Set the gradients; returns the loss, detached.

        Workers take examples side by side, each on one thread: they wait for each other once a step, threads
        that share every matrix product many hundred times.
        """
        config = self.config
        stems = torch.from_numpy(batch.stems).to(config.device)  # [B, S, C, T]
        two_stem = torch.from_numpy(batch.two_stem).to(config.device)
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]

        def part(scratch: Scratch, stems: Tensor, two_stem: Tensor) -> tuple[Tensor, ...]:
            mix = stems.sum(dim=1)
            if self.twins:
                estimates = separate_with_twins(self.network, mix, scratch)
            else:
                with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bfloat16"):
                    estimates = self.network(mix)
            loss = LOSSES[config.loss](as_known(estimates.float(), two_stem), as_known(stems, two_stem))
            loss = loss * (len(stems) / len(batch.stems))
            return loss.detach(), *torch.autograd.grad(loss, trained)

        chunks = [tensor.tensor_split(self.workers) for tensor in (stems, two_stem)]
        parts = list(self.executor.map(part, self.scratches, *chunks))
        sums: list[Tensor] = [reduce(torch.add, values) for values in zip(*parts, strict=True)]
        loss, *gradients = sums
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.grad = gradient
        return loss


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
