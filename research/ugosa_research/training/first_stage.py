"""First stage of a `band`: its accompaniment is the mix that the second stage is trained on.

A second stage that has learned from true accompaniments meets others in use: with a rest of the vocals in
them, and with holes where the first stage took an instrument for a voice.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ugosa_research.songs.bank.pools import STEMS
from ugosa_server.errors import ConfigError
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.network import build_network
from ugosa_server.models.spleeter.config import SpleeterConfig
from ugosa_server.pipeline.model_input import SILENT_STD

VOCALS = STEMS.index("vocals")


class FirstStage:
    """A frozen network of vocals and accompaniment."""

    def __init__(self, path: Path) -> None:
        """Load a model of `models pull spleeter-2stems`.

        Raises:
            CheckpointError: the file is no model.
            ConfigError: it is a model of other sources.
        """
        config, weights = load_checkpoint(path)
        if (
            not isinstance(config, SpleeterConfig)
            or config.sources[0] != "vocals"
            or len(config.sources) != 2
        ):
            raise ConfigError(
                "first_stage must be a model of vocals and accompaniment, such as spleeter-2stems, but "
                f"{path} separates {', '.join(config.sources)}"
            )
        self._network = build_network(config)
        self._network.load_state_dict(weights)
        self._network.eval().requires_grad_(False)

    @torch.inference_mode()
    def accompaniment(self, mix: Tensor) -> Tensor:
        """Return what is left of mixes without their vocals, [B, C, T]; levelled as in a job."""
        std = mix.mean(dim=1).std(dim=-1)[:, None, None]  # [B, 1, 1]
        std = torch.where(std < SILENT_STD, torch.ones_like(std), std)
        vocals: Tensor = self._network(mix / std)[:, 0]
        return mix - std * vocals


def without_vocals(stems: Tensor) -> Tensor:
    """Return the targets of the second stage: [B, S, C, T] -> [B, S - 1, C, T]."""
    return torch.cat([stems[:, :VOCALS], stems[:, VOCALS + 1 :]], dim=1)


def shared_vocals(estimates: Tensor) -> Tensor:
    """Share the second stage's vocals among the others, as `band` does: [B, S, C, T] -> [B, S - 1, C, T]."""
    return without_vocals(estimates) + estimates[:, VOCALS : VOCALS + 1] / (estimates.shape[1] - 1)
