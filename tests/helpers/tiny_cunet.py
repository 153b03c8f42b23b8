"""A Conditioned U-Net small enough that a job takes a second, and a quartet for it to separate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.helpers.songs import Song
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.cunet.config import LINEAR_BINS, LOG_BINS, ConditionedUNetConfig
from ugosa_server.models.cunet.network import ConditionedUNet

QUARTET = ("cello", "flute", "viola", "violin")
LABEL_MULTIPLY = ConditionedUNetConfig(first_channels=2, conditioning="label-multiply")
FILM = ConditionedUNetConfig(first_channels=2, conditioning="film-bottleneck")


def tiny_cunet(config: ConditionedUNetConfig = LABEL_MULTIPLY, seed: int = 0) -> ConditionedUNet:
    """The real class with weights from a seed; its masks differ from class to class and from bin to bin."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ConditionedUNet(config).eval()
        for generator in network.film:
            torch.nn.init.normal_(generator.weight)
        for name, buffer in network.named_buffers():
            if "running_var" in name:
                buffer.fill_(0.2)  # about what random convolutions give, so that layers neither die nor swell
    return network


def bins_of(config: ConditionedUNetConfig) -> int:
    """Return F, the bins of the input of a network."""
    return LOG_BINS if config.frequency_scale == "log" else LINEAR_BINS


def write_tiny_cunet(path: Path, config: ConditionedUNetConfig = LABEL_MULTIPLY, **words: str) -> Path:
    """Write a checkpoint of `tiny_cunet`, with words for its metadata."""
    save_checkpoint(path, tiny_cunet(config).state_dict(), config, words)
    return path


def quartet(frames: int, sample_rate_hz: int = 44100, channels: int = 2) -> Song:
    """Four voices of harmonics with bow noise above the model's band, panned apart."""
    random = np.random.default_rng(4)
    t = np.arange(frames) / sample_rate_hz
    voices = np.stack(
        [
            sum(np.sin(2 * np.pi * n * pitch_hz * t + n) / n for n in range(1, 12))
            for pitch_hz in (98.0, 220.0, 330.0, 880.0)
        ]
    )
    mix = 0.03 * np.einsum("st,sc->tc", voices, random.uniform(0.2, 1, (4, channels)))
    return Song(mix + 0.003 * random.standard_normal(mix.shape), sample_rate_hz)
