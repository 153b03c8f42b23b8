"""Configuration of a training run: one TOML file, one frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugosa_research.songs.song_window import WindowPlan
from ugosa_research.training.augment import AugmentOptions
from ugosa_server.errors import ConfigError
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig

PRECISIONS = ("float32", "bfloat16")
LOSS_NAMES = ("l1", "rms")
DECAYS = ("linear", "cosine")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights, and how often to look at them."""

    network: ConvTasNetConfig
    """Table `[network]`: sizes of a ConvTasNet."""
    songs: WindowPlan
    """Table `[songs]`: the rolling window of generated songs."""
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    """Table `[augment]`: how examples differ from the songs."""
    seed: int = 0
    """Seed of the first weights and of the batches."""
    start: str = "cosines"
    """First encoder and decoder: cosines (see `basis.py`) or random."""
    start_from: str = ""
    """A model file of the same sizes, or with fewer filters, whose weights to go on from instead. For the
    decoder of a `band`: the Spleeter of vocals and accompaniment whose encoder it is behind."""
    two_stem_songs: str = "/usr/share/games/fretsonfire/data/songs/sectoid"
    """Folder of real songs of two known stems; read if `two_stem_share` of the augmentation is above 0."""
    stem_songs: str = "songs/train"
    """Folder of `train songs` or of your own multitracks; read if `stem_song_share` is above 0."""
    loss: str = "l1"
    """l1, as published, or rms (see `convtasnet.rms_loss`)."""
    steps: int = 10000
    """Optimiser steps of the whole run."""
    batch_size: int = 4
    segment_s: float = 4.0
    """Length of an example."""
    learning_rate: float = 1e-3
    """Peak of Adam's step size."""
    basis_learning_rate_share: float = 1.0
    """Share of it for encoder and decoder; 0 freezes them: for first filters that are good already."""
    warmup_steps: int = 100
    """Linear rise at the beginning."""
    decay_steps: int = 4000
    """Fall to zero at the end."""
    decay: str = "linear"
    """Course of that fall: linear, or cosine (half a period)."""
    gradient_norm: float = 5.0
    """Longer gradients are cut to this."""
    ema_decay: float = 0.998
    """Decay of the running average of the weights, which gets validated and shipped."""
    precision: str = "float32"
    """Number format of matrix products, float32 or bfloat16 (a frozen basis on a CPU: float32)."""
    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 1
    """Threads for the network on a CPU; with a frozen basis each takes examples of its own."""
    generator_workers: int = 1
    """Processes that make songs."""
    checkpoint_every_s: float = 300.0
    """Wall time between checkpoints of the whole state."""
    validate_every_steps: int = 250
    """Steps between validations."""
    validation_songs: int = 16
    """Held-out songs, generated once."""
    validation_song_s: float = 8.0
    """Length of each."""

    def __post_init__(self) -> None:
        if self.start not in ("cosines", "random"):
            raise ConfigError(f"start must be cosines or random, got {self.start!r}")
        if self.loss not in LOSS_NAMES:
            raise ConfigError(f"loss must be one of {LOSS_NAMES}, got {self.loss!r}")
        if self.decay not in DECAYS:
            raise ConfigError(f"decay must be one of {DECAYS}, got {self.decay!r}")
        if self.precision not in PRECISIONS or self.device not in DEVICES:
            raise ConfigError(
                f"precision must be one of {PRECISIONS} and device one of {DEVICES}, got "
                f"{self.precision!r} and {self.device!r}"
            )
        if self.segment_s > self.songs.song_s:
            raise ConfigError(f"segment_s is {self.segment_s}, longer than the songs' {self.songs.song_s} s")
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ConfigError(
                f"warmup_steps {self.warmup_steps} and decay_steps {self.decay_steps} exceed the "
                f"{self.steps} steps"
            )

    def learning_rate_at(self, step: int) -> float:
        """Warm-up, plateau, and the fall to zero."""
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        fall = min(1.0, (self.steps - step) / max(1, self.decay_steps))
        if self.decay == "cosine":
            fall = 0.5 - 0.5 * math.cos(math.pi * fall)
        return self.learning_rate * min(rise, fall)


def load_training_config(path: Path) -> TrainingConfig:
    """Read a TOML file; unknown keys are refused by name."""
    try:
        with path.open("rb") as file:
            values: dict[str, Any] = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the training config {path}: {error}") from error
    tables = {"network": ConvTasNetConfig, "songs": WindowPlan, "augment": AugmentOptions}
    for name, kind in tables.items():
        values[name] = _filled(kind, values.get(name, {}), f"{path} [{name}]")
    config: TrainingConfig = _filled(TrainingConfig, values, str(path))
    return config


def _filled(kind: type[Any], values: dict[str, Any], where: str) -> Any:
    known = {entry.name for entry in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{where} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    if "sources" in values:
        values = values | {"sources": tuple(values["sources"])}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where} is incomplete: {error}") from error
