"""File of an adaptation at the end of an epoch, which a later attempt resumes bit for bit.

The file holds the trained tensors, the optimiser's state (RAdam's moments, LookAhead's slow weights) and the
losses of the epochs done; with a guard, its figures and the tensors of the best epoch so far. The order of
observations needs no place in it: it follows from the seed and the number of epochs. What else decides the
numbers stands in the keys; a file with other keys is not taken up.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ugosa_server.adaptation.adapter_file import copy_into
from ugosa_server.adaptation.guard import Guard, GuardState
from ugosa_server.adaptation.guard_score import Figures
from ugosa_server.adaptation.objective import LossTerms
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.ranger import Ranger
from ugosa_server.failpoints import reach
from ugosa_server.files import replacing

FORMAT = "ugosa-epoch-3"
MIN_INTERVAL_S = 2.0  # between two files, so that short epochs are not slowed down
MAX_WRITING_SHARE = 0.1  # of the time of an adaptation
PARAMETER = "parameter "
OPTIMISER = "optimiser "
KEPT = "kept "

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaptationKeys:
    """Everything that decides what an adaptation computes."""

    base_sha256: str
    """Hex, of the checkpoint file it starts from."""
    audio_sha256: str
    """Hex, of the decoded song's bytes."""
    marks_sha256: str
    """Hex, see `adapter_keys.marks_sha256`."""
    options: AdaptationOptions
    seed: int
    """Seed of the order of observations, and of their pitches."""
    machine: tuple[str, ...]
    """Versions, device and threads; another machine may round differently."""


@dataclass(frozen=True)
class _Words:
    """Contents of a checkpoint file besides its tensors."""

    keys: AdaptationKeys
    losses: list[LossTerms]
    numbers: dict[str, dict[str, int | float]]
    """State of the optimiser that is no tensor, by parameter."""
    figures: tuple[Figures, ...]
    """Those in the guard's state."""
    kept_epoch: int
    """That in the guard's state."""


@dataclass(frozen=True)
class _SavedEpoch:
    """Contents of a checkpoint file."""

    losses: list[LossTerms]
    parameters: dict[str, Tensor]
    optimiser: dict[int, dict[str, Any]]
    guard: GuardState


class EpochCheckpoint:
    """Reads the file of an earlier attempt, and writes this attempt's own."""

    def __init__(
        self,
        path: Path,
        keys: AdaptationKeys,
        resume_path: Path | None = None,
        min_interval_s: float = MIN_INTERVAL_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read `resume_path`; a file that is missing, not readable or of other keys is ignored."""
        self._path = path
        self._keys = keys
        self._min_interval_s = min_interval_s
        self._now_s = now_s
        self._next_s = -math.inf
        self._saved = _read(resume_path, keys) if resume_path is not None else None
        self._losses: list[LossTerms] = list(self._saved.losses) if self._saved is not None else []

    @property
    def epochs_done(self) -> int:
        """Number of epochs that need not be made again."""
        return len(self._losses)

    def restore(
        self, parameters: Mapping[str, nn.Parameter], optimiser: Ranger, guard: Guard | None = None
    ) -> list[LossTerms]:
        """Restore parameters, optimiser and guard from the file, and return the losses of the epochs done."""
        saved, self._saved = self._saved, None
        if saved is None:
            return []
        groups = optimiser.state_dict()["param_groups"]  # settings: they follow from the keys
        optimiser.load_state_dict({"state": saved.optimiser, "param_groups": groups})
        copy_into(parameters, saved.parameters)
        if guard is not None:
            guard.resume(saved.guard)
        return list(self._losses)

    def epoch_ended(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimiser: Ranger,
        loss: LossTerms,
        guard: Guard | None = None,
    ) -> None:
        """Note an epoch, and write the file unless the last one was just before."""
        self._losses.append(loss)
        begun_s = self._now_s()
        if begun_s < self._next_s:
            return
        state = GuardState() if guard is None else guard.state
        try:
            with replacing(self._path) as file:
                file.write(self._encode(parameters, optimiser, state))
        except OSError as error:  # a full disk, say: the adaptation itself needs none
            log.warning("epoch %d cannot be kept in %s: %s", len(self._losses), self._path, error)
        reach("worker.epoch_kept")
        ended_s = self._now_s()
        self._next_s = ended_s + max(self._min_interval_s, (ended_s - begun_s) / MAX_WRITING_SHARE)

    def _encode(self, parameters: Mapping[str, nn.Parameter], optimiser: Ranger, guard: GuardState) -> bytes:
        tensors = {PARAMETER + name: parameter.detach() for name, parameter in parameters.items()}
        tensors |= {KEPT + name: tensor for name, tensor in guard.kept.items()}
        numbers: dict[str, dict[str, int | float]] = defaultdict(dict)
        for index, state in optimiser.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"{OPTIMISER}{index} {name}"] = value
                else:
                    numbers[str(index)][name] = value
        words = _Words(self._keys, self._losses, numbers, guard.figures, guard.kept_epoch)
        return save(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
            metadata={FORMAT: json.dumps(msgspec.to_builtins(words))},  # figures may be nan
        )


def _read(path: Path, keys: AdaptationKeys) -> _SavedEpoch | None:
    """Read a checkpoint file; None when its keys are others or it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            words = msgspec.convert(json.loads((file.metadata() or {})[FORMAT]), _Words)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if words.keys != keys:
            log.warning("%s is of another adaptation; this one starts at its first epoch", path)
            return None
        optimiser: dict[int, dict[str, Any]] = {
            int(index): dict(values) for index, values in words.numbers.items()
        }
        for name, tensor in _of_kind(OPTIMISER, tensors).items():
            index, key = name.split(" ", 1)
            optimiser.setdefault(int(index), {})[key] = tensor
        guard = GuardState(words.figures, words.kept_epoch, _of_kind(KEPT, tensors))
        return _SavedEpoch(words.losses, _of_kind(PARAMETER, tensors), optimiser, guard)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
        log.warning("%s cannot be read (%s); the adaptation starts at its first epoch", path, error)
        return None


def _of_kind(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}
