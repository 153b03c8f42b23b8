"""Registry of the networks that jobs can name: checkpoints in model folders, read without torch.

A model is a `*.safetensors` file of `checkpoints.save_checkpoint`, named after its file. Besides its sizes a
checkpoint may state, in its metadata, a `description`, and `adaptation` and `separation`: JSON objects of
options that suit it better than those of its kind of network, for example {"learning_rate": 1e-4}.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ugosa_server.errors import CheckpointError, ConfigError, UnknownModelError, did_you_mean
from ugosa_server.files import home_dir, sha256_of_file
from ugosa_server.models.checkpoint_header import architecture_of, read_header
from ugosa_server.models.config import NetworkConfig, depths_of
from ugosa_server.models.published import PUBLISHED

WEIGHTS_DIR = Path(__file__).parents[1] / "weights"
AUTO = "auto"
BEST, FALLBACK = "band", "starter"  # the shipped one needs nothing but this package
HOW_TO_GET_BETTER = (
    f"separating with the shipped network {FALLBACK!r}, which is weak; `ugosa-server models pull {BEST}` "
    "fetches a much better one (75 MB, once), which the next start takes"
)
STARTER_DIR = WEIGHTS_DIR / "starter"
BAND_DIR = WEIGHTS_DIR / "band"  # of a part of it: `models pull band` makes it whole
CUNET_DIR = WEIGHTS_DIR / "cunet"
MAX_DESCRIPTION_LETTERS = 1000  # lists of models go to clients as one message
log = logging.getLogger(__name__)

SHIPPED_DIRS = (STARTER_DIR, CUNET_DIR)


def user_model_dir() -> Path:
    """Return the folder of pulled models, $XDG_DATA_HOME/ugosa/models or ~/.local/share/ugosa/models.

    Raises:
        ConfigError: this user has no home directory.
    """
    base = os.environ.get("XDG_DATA_HOME")
    folder = Path(base) if base else home_dir("set XDG_DATA_HOME") / ".local" / "share"
    return folder / "ugosa" / "models"


@dataclass(frozen=True)
class StrategyInfo:
    """A fine-tuning strategy that a model offers."""

    name: str
    """Name as in the paper, for example "P-L3:D"."""
    trainable_parameters: int


@dataclass(frozen=True)
class ModelInfo:
    """Description of a model that needs none of its weights."""

    name: str
    """File name without suffix, which jobs state."""
    architecture: str
    """For example "conv_tasnet"."""
    description: str
    """For people; may be empty."""
    config: NetworkConfig
    """The sizes of the network; validates strategies."""
    parameters: int
    sha256: str
    """Hex, of the checkpoint file."""
    path: Path
    strategies: tuple[StrategyInfo, ...]
    """Fine-tuning strategies: `P-`, `R-` and `B-` of every depth, deepest first, and `B0`."""
    adaptation_defaults: Mapping[str, str | int | float | None]
    """Adaptation options that suit this model, by field name; empty = the paper's."""
    separation_defaults: Mapping[str, str | int | float | None]
    """Separation options that suit it, by field name."""

    def trainable_parameters(self, strategy: str) -> int:
        """Return how many numbers a strategy of this model trains (#TP of the paper's Table 1)."""
        return next(info.trainable_parameters for info in self.strategies if info.name == strategy)

    def matches_note(self) -> bool:
        """Return whether `NAME.sha256`, as sha256sum writes it, lies beside the checkpoint, and agrees.

        Raises:
            CheckpointError: It says another hash.
        """
        note = self.path.with_suffix(".sha256")
        if not note.exists():
            return False
        expected = (note.read_text().split() or [""])[0].lower()
        if expected != self.sha256:
            raise CheckpointError(
                f"{self.path} has sha256 {self.sha256}, but {note.name} records {expected}: it is damaged or"
                " was replaced; get it again"
            )
        return True

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stems, which jobs give and marks name, in order."""
        return self.config.stems

    @property
    def residual(self) -> tuple[str, ...]:
        """The stem of the rest of the mix; empty for a model whose sources add up to the mix."""
        return self.config.stems[len(self.config.sources) :]

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the network."""
        return self.config.sample_rate_hz

    @property
    def audio_channels(self) -> int:
        """Channels of the network's input and of every stem."""
        return self.config.audio_channels


class ModelRegistry:
    """All models: shipped ones, the user's own and those of further folders, found once."""

    def __init__(self, extra_dirs: Iterable[Path] = (), shipped_dirs: Sequence[Path] = SHIPPED_DIRS) -> None:
        """Read the headers of all checkpoints; a name in a later folder takes the place of an earlier one.

        Args:
            extra_dirs: come last; must exist.
            shipped_dirs: come first.

        Raises:
            CheckpointError: a folder does not exist. A checkpoint that is unreadable is logged and left out.
        """
        self._models: dict[str, ModelInfo] = {}
        self._unreadable: dict[str, str] = {}
        may_be_absent = list(shipped_dirs)
        with contextlib.suppress(ConfigError):  # nothing was pulled by a user without a home directory
            may_be_absent.append(user_model_dir())
        for folder in (*may_be_absent, *extra_dirs):
            if folder not in may_be_absent and not folder.is_dir():
                raise CheckpointError(f"the model folder {folder} does not exist")
            for path in sorted(folder.glob("*.safetensors")):
                self._add(path)

    def _add(self, path: Path) -> None:
        try:
            self._models[path.stem] = read_model_info(path)
        except (CheckpointError, OSError) as error:
            log.warning("the model %r is left out: %s", path.stem, error)
            self._models.pop(path.stem, None)  # another one of that name would be mistaken for it
            self._unreadable[path.stem] = str(error).replace(f"{path.parent}/", "")  # who asks may be a guest

    def models(self) -> tuple[ModelInfo, ...]:
        """Return all models, sorted by name."""
        return tuple(self._models[name] for name in sorted(self._models))

    def default(self, name: str) -> ModelInfo:
        """Return the model of jobs that name none: `name`; for AUTO `band` where it is, else `starter`.

        Raises:
            UnknownModelError: there is no model of that name.
        """
        best = BEST if BEST in self._models else FALLBACK
        return self.get(best if name == AUTO else name)

    def get(self, name: str) -> ModelInfo:
        """Return the model of that name.

        Raises:
            UnknownModelError: there is none; the message names the nearest, or the command that fetches it.
        """
        if name in self._models:
            return self._models[name]
        if name in self._unreadable:
            raise UnknownModelError(
                f"the model {name!r} cannot be read: {self._unreadable[name]}; delete it or get it again"
            )
        if name in PUBLISHED:
            raise UnknownModelError(
                f"the weights of the model {name!r} are not here; fetch them: ugosa-server models pull {name}"
            )
        names = ", ".join(sorted(self._models)) or "none"
        hint = did_you_mean(name, self._models) or f"models here: {names}"
        raise UnknownModelError(f"there is no model {name!r}; {hint}")


def read_model_info(path: Path) -> ModelInfo:
    """Read one checkpoint's header and hash.

    Raises:
        CheckpointError: the file is unreadable or does not say what it is.
    """
    if not path.stem.isprintable():
        raise CheckpointError(f"{path.parent / ascii(path.stem)} has a name that cannot be shown; rename it")
    header = read_header(path)
    counts = header.parameter_counts
    trained = {}
    for depth in depths_of(header.config):
        prefixes = header.config.trained_prefixes(depth)
        trained[depth] = sum(count for name, count in counts.items() if name.startswith(prefixes))
    return ModelInfo(
        name=path.stem,
        architecture=architecture_of(header.config).name,
        description=_one_line(header.metadata.get("description", "")),
        config=header.config,
        parameters=sum(counts.values()),
        sha256=sha256_of_file(path),
        path=path,
        strategies=(
            *(StrategyInfo(f"{goal}-{depth}", n) for goal in "PRB" for depth, n in trained.items()),
            StrategyInfo("B0", 0),
        ),
        adaptation_defaults={
            **header.config.adaptation_defaults,
            **_stated_options(header.metadata, "adaptation", path),
        },
        separation_defaults=_stated_options(header.metadata, "separation", path),
    )


def _stated_options(
    metadata: Mapping[str, str], kind: str, path: Path
) -> dict[str, str | int | float | None]:
    text = metadata.get(kind, "{}")
    try:
        return msgspec.json.decode(text, type=dict[str, str | bool | int | float | None])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} states {kind} options that are no JSON object: {text[:100]!r}"
        ) from error


def _one_line(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_DESCRIPTION_LETTERS])
    return " ".join(shown.split())
