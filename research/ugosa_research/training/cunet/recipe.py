"""Recipe of a Conditioned U-Net: one TOML file, one dataclass, and the two published recipes.

A file may start from a recipe (`recipe = "paper"` or `"published-code"`) and state what differs.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugosa_research.cunet.experiments import EXPERIMENTS, network_of
from ugosa_server.errors import ConfigError
from ugosa_server.models.cunet.config import ConditionedUNetConfig

LOSSES = ("bce", "smooth-l1")
REDUCTIONS = ("sum", "mean")
LEVELS = ("as-recorded", "peak")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class MixOptions:
    """Mixing of examples (section 3: mix-and-separate) and their distance from the recordings."""

    fewest_sources: int = 2
    most_sources: int = 7
    """Upper end of the curriculum."""
    level: str = "as-recorded"
    """as-recorded: the plain sum (paper); peak: each source scaled to +-1, and all divided by their number
    (published code, which forgot to divide the sources along with the mix)."""
    clip: bool = True
    """Clip the mix to [-1, 1] (paper)."""
    mix_rms: float = 0.0
    """Scale mix and sources so that the mix has this RMS, within 3 dB; 0 = as they are."""
    same_take_share: float = 0.0
    """Share of examples mixed from recordings of one take, in time and in tune, where the data have takes."""
    extra_labels_share: float = 0.0
    """Share of examples whose labels also name instruments that are absent: what a user leaves unmarked."""
    gain_db: float = 0.0
    """Standard deviation of each source's gain."""
    equaliser_db: float = 0.0
    """Standard deviation of each source's random equaliser."""

    def __post_init__(self) -> None:
        if not 1 <= self.fewest_sources <= self.most_sources:
            raise ConfigError(
                f"fewest_sources is {self.fewest_sources} and most_sources {self.most_sources}; they must be "
                "at least 1 and in this order"
            )
        if self.level not in LEVELS:
            raise ConfigError(f"level is {self.level!r}, but must be one of {', '.join(LEVELS)}")


@dataclass(frozen=True)
class CunetRecipe:
    """Everything that decides the weights, and how often to look at them."""

    network: ConditionedUNetConfig = field(default_factory=ConditionedUNetConfig)
    """Table `[network]`."""
    mix: MixOptions = field(default_factory=MixOptions)
    """Table `[mix]`."""
    seed: int = 0
    """Seed of the first weights and of the batches."""
    iterations: int = 500_000
    batch_size: int = 16
    learning_rate: float = 1e-5
    """Learning rate of Adam, before any halving."""
    weight_decay: float = 0.0
    loss: str = "bce"
    """bce: binary cross entropy, Eq. 6; smooth-l1: Eq. 7 (the paper's for ratio masks)."""
    reduction: str = "sum"
    """Over classes, bins and frames of an example (then the mean of the batch): sum (Eq. 6 and 8) or mean."""
    positive_weight: float = 1.0
    """w of Eq. 6."""
    magnitude_weighted: bool = False
    """Weight every bin by log1p of the mix's magnitude in it, relative to the example's mean."""
    crop_frames: int = 0
    """Frames of each example that a step learns from, at a random place, a multiple of 64; 0 = all 256."""
    film_rate_share: float = 1.0
    """Learning rate of the FiLM generators over that of the rest."""
    visual_rate_share: float = 1.0
    """Learning rate of a fine-tuned visual head over that of the rest."""
    first_stage: int = 2
    """Most sources in a mix at the start; `mix.most_sources` switches the curriculum off."""
    stage_patience: int = 10_000
    """Iterations without a better validation loss after which mixes get one source more."""
    halving_patience: int = 25_000
    """Iterations without a better validation loss, at any stage, after which the rate is halved."""
    least_gain: float = 0.0
    """Share of the loss by which a validation must be better to count."""
    gradient_norm: float = 0.0
    """Longer gradients are cut to this; 0 = never."""
    ema_decay: float = 0.0
    """Decay of the running average of the weights, which is validated and kept; 0 = the weights."""
    calibration_examples: int = 0
    """Examples on which the statistics of batch norms are measured, all at once, before a validation: those
    averaged along the way are not those of averaged weights, and know small batches only. 0 = keep them."""
    validate_every: int = 1000
    """Iterations between validations."""
    validation_examples: int = 32
    validation_share: float = 0.2
    """Share of the takes kept for validation where no separate folder is given (Solos: 80/20)."""
    checkpoint_every_s: float = 120.0
    """Wall time between checkpoints of the whole state."""
    device: str = "cpu"
    """cpu or cuda."""
    precision: str = "float32"
    """Number format of the network in a step: "float32", or "bfloat16", faster where the processor has it.
    Weights, their statistics and the loss stay float32."""
    threads: int = 1
    """CPU threads of the network."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("loss", self.loss, LOSSES),
            ("reduction", self.reduction, REDUCTIONS),
            ("device", self.device, ("cpu", "cuda")),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}, but must be one of {', '.join(known)}")
        if not self.mix.fewest_sources <= self.first_stage <= self.mix.most_sources:
            raise ConfigError(
                f"first_stage is {self.first_stage}, but must lie between fewest_sources "
                f"{self.mix.fewest_sources} and most_sources {self.mix.most_sources}"
            )
        video = self.network.video
        if video and self.mix.most_sources > video.slots:
            raise ConfigError(
                f"most_sources is {self.mix.most_sources}, but the network can see {video.slots} players"
            )

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """Shape of an example's video context; () where labels, or nothing, condition."""
        return self.network.context_shape if self.network.video else ()

    def for_experiment(self, name: str) -> CunetRecipe:
        """This recipe for the network of a row of the paper's tables, with that row's loss and curriculum.

        Raises:
            ConfigError: there is no such row.
        """
        if name not in EXPERIMENTS:
            raise ConfigError(f"there is no experiment {name}; known are {', '.join(EXPERIMENTS)}")
        network = network_of(name, self.network)
        return dataclasses.replace(
            self,
            network=network,
            loss="smooth-l1" if network.mask == "ratio" else "bce",  # Table 4
            first_stage=self.first_stage if EXPERIMENTS[name].curriculum else self.mix.most_sources,
        )


# Slizovskaia et al., sections 3.1 and 4.3.
PAPER = CunetRecipe()
# The authors' published code, without its faults: its rate halving never took effect, its labels of the test
# set were all ones. Its plateaus are epochs of 1,000 iterations here.
PUBLISHED_CODE = CunetRecipe(
    mix=MixOptions(level="peak", clip=False),
    batch_size=32,
    learning_rate=1e-4,
    weight_decay=5e-4,
    reduction="mean",
    positive_weight=5.0,
    least_gain=1e-4,
)
RECIPES = {"paper": PAPER, "published-code": PUBLISHED_CODE}


def load_recipe(path: Path) -> CunetRecipe:
    """Read a TOML file; unknown keys are refused by name.

    Raises:
        ConfigError: it cannot be read, or says something that cannot be.
    """
    try:
        with path.open("rb") as file:
            values: dict[str, Any] = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the training recipe {path}: {error}") from error
    name = values.pop("recipe", "paper")
    if name not in RECIPES:
        raise ConfigError(f"{path} starts from {name!r}, but recipes are {', '.join(RECIPES)}")
    base = RECIPES[name]
    for table in ("network", "mix"):
        values[table] = _changed(getattr(base, table), values.get(table, {}), f"{path} [{table}]")
    changed: CunetRecipe = _changed(base, values, str(path))
    return changed


def _changed(base: Any, values: dict[str, Any], where: str) -> Any:
    known = {entry.name for entry in dataclasses.fields(base)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{where} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    if "instruments" in values:
        values = values | {"instruments": tuple(values["instruments"])}
    try:
        return dataclasses.replace(base, **values)
    except TypeError as error:
        raise ConfigError(f"{where} cannot be: {error}") from error
