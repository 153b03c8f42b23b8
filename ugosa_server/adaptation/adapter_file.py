"""Adapter files: the tensors that an adaptation changed, with the keys of their origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ugosa_server.errors import CheckpointError
from ugosa_server.files import replacing
from ugosa_server.marks import Mark

FORMAT = "ugosa-adapter-1"


@dataclass(frozen=True)
class AdapterKeys:
    """Base, song, marks and strategy that an adapter was trained with."""

    base_sha256: str
    """Hex, of the checkpoint file it changes."""
    audio_sha256: str
    """Hex, of the decoded song's bytes."""
    marks_sha256: str
    """Hex, see `marks_sha256`."""
    strategy: str
    """Trained strategy, for example "P-L3:D"."""


def marks_sha256(marks: Sequence[Mark]) -> str:
    """Hex sha256 of the marks, whatever their order."""
    rows = [[mark.source, mark.state.value, mark.start_frame, mark.end_frame] for mark in sorted(marks)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def save_adapter(path: Path, tensors: Mapping[str, Tensor], keys: AdapterKeys) -> None:
    """Write the changed tensors and their keys; `path` is a whole file or none."""
    blob = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        # One entry, because safetensors writes several in random order: the same adapter is the same bytes.
        metadata={FORMAT: json.dumps(asdict(keys))},
    )
    with replacing(path) as file:
        file.write(blob)


def load_adapter(path: Path, base_sha256: str) -> tuple[AdapterKeys, dict[str, Tensor]]:
    """Read an adapter for the checkpoint of that hash.

    Raises:
        CheckpointError: the file is missing or unreadable, or belongs to another checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            words = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no adapter at {path}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
    if FORMAT not in words:
        raise CheckpointError(f"{path} is not an adapter of format {FORMAT!r}")
    try:
        keys = AdapterKeys(**json.loads(words[FORMAT]))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} does not hold the keys of its origin: {error}") from error
    if keys.base_sha256 != base_sha256:
        raise CheckpointError(
            f"{path} was learned on the checkpoint {keys.base_sha256[:12]}, but this one is "
            f"{base_sha256[:12]}; load the model it was made with"
        )
    return keys, tensors


def apply_adapter(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Copy an adapter's tensors into the trainable parameters of `loop.adaptation_of`.

    Raises:
        CheckpointError: names or shapes are not those of the strategy.
    """
    if {name: p.shape for name, p in parameters.items()} != {name: t.shape for name, t in tensors.items()}:
        raise CheckpointError(
            f"the adapter holds {len(tensors)} tensors that are not the {len(parameters)} of this strategy"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
