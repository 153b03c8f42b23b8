"""Kinds of network, and the header of a checkpoint: read without its weights and without torch.

A checkpoint is a safetensors file. Its metadata state the kind of network ("format"), its sizes as JSON
("config"), and free words. `network.py` says how to add a kind.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open

from ugosa_server.errors import CheckpointError, UgosaError
from ugosa_server.files import sha256_of_file
from ugosa_server.models.band.config import BandConfig
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.demucs.config import DemucsConfig
from ugosa_server.models.spleeter.config import SpleeterConfig

PROOF_DIGITS = 32  # hex; 128 bits cannot be met by trying
NAME_DIGITS = 8  # hex; a fingerprint in a file's name tells of damage, but can be forged within minutes
MAX_CONFIG_CHARS = 10_000_000  # demucs lists its tensors there
MAX_SIZE = 1_000_000
MAX_ITEMS = 10_000
MAX_SOURCES = 100  # some networks are built of a whole U-Net for each
NORM_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


@dataclass(frozen=True)
class Architecture:
    """One kind of network."""

    name: str
    """Name for people and on the wire, for example "conv_tasnet"."""
    format: str
    """Format in the header of its checkpoints, for example "ugosa-convtasnet-1"."""
    config_class: type[Any]
    """Class of its sizes, a dataclass that fulfils `NetworkConfig`."""
    network: str
    """Class of the network, in `network.py` beside the sizes; imported by `network.build_network`."""


ARCHITECTURES: Mapping[str, Architecture] = {
    architecture.format: architecture
    for architecture in (
        Architecture("conv_tasnet", "ugosa-convtasnet-1", ConvTasNetConfig, "ConvTasNet"),
        Architecture("demucs", "ugosa-demucs-1", DemucsConfig, "DemucsNetwork"),
        Architecture("conditioned_unet", "ugosa-cunet-1", ConditionedUNetConfig, "ConditionedUNet"),
        Architecture("spleeter", "ugosa-spleeter-1", SpleeterConfig, "SpleeterNetwork"),
        Architecture("band", "ugosa-band-1", BandConfig, "BandNetwork"),
    )
}
"""By format."""


def architecture_of(config: NetworkConfig) -> Architecture:
    """Return the architecture that sizes belong to."""
    return next(a for a in ARCHITECTURES.values() if isinstance(config, a.config_class))


@dataclass(frozen=True)
class CheckpointHeader:
    """The metadata of a checkpoint file."""

    config: NetworkConfig
    metadata: Mapping[str, str]
    """Free words beside the weights (description, recipe, seed, hours)."""
    parameter_counts: Mapping[str, int]
    """Number of values of each parameter, by name; statistics of batch norms are no parameters."""


def read_header(path: Path) -> CheckpointHeader:
    """Read the header of a checkpoint of `save_checkpoint`, without its weights.

    Raises:
        CheckpointError: the file is missing, unreadable, or of another format.
    """
    with open_safetensors(path) as file:
        return parse_header(file, path)


@contextmanager
def safetensors_errors_explained(path: Path, kind: str) -> Iterator[None]:
    """Explain errors of reading a safetensors file in the block; `kind` is what it should be."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no {kind} at {path}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error


@contextmanager
def open_safetensors(path: Path, kind: str = "checkpoint", framework: str = "numpy") -> Iterator[Any]:
    """Open a safetensors file for the block; `kind` is what it should be, for messages.

    Raises:
        CheckpointError: the file is missing or unreadable.
    """
    if path.exists() and not path.is_file():  # opening a pipe waits for whoever writes to it
        raise CheckpointError(f"{path} is a folder, a pipe or a device, and no {kind}")
    with safetensors_errors_explained(path, kind), safe_open(path, framework=framework) as file:
        yield file


def parse_header(file: Any, path: Path) -> CheckpointHeader:
    """Read the header of a file of `open_safetensors`; `path` is for messages."""
    words = dict(file.metadata() or {})
    name, sizes = words.pop("format", None), words.pop("config", "null")
    architecture = ARCHITECTURES.get(name or "")
    if architecture is None:
        raise CheckpointError(f"{path} has format {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    try:
        config = _read_config(sizes, architecture)
    except (UgosaError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CheckpointError(f"{path} states no sizes of a network: {error}") from error
    names = file.keys()
    if len(names) > MAX_ITEMS:
        raise CheckpointError(f"{path} holds {len(names)} tensors; at most {MAX_ITEMS} are taken")
    names = [name for name in names if not name.endswith(NORM_STATISTICS)]
    counts = {name: math.prod(file.get_slice(name).get_shape()) for name in names}
    return CheckpointHeader(config, words, counts)


def _read_config(text: str, architecture: Architecture) -> NetworkConfig:
    if len(text) > MAX_CONFIG_CHARS:
        raise CheckpointError(f"its sizes take {len(text)} characters; at most {MAX_CONFIG_CHARS}")
    fields = json.loads(text)
    _check_bounds(fields)
    unknown = set(fields) - {field.name for field in dataclasses.fields(architecture.config_class)}
    if unknown:
        raise CheckpointError(f"{architecture.name} has no size named {', '.join(sorted(unknown))}")
    config: NetworkConfig = msgspec.convert(fields, architecture.config_class)
    if len(config.sources) > MAX_SOURCES:
        raise CheckpointError(f"it has {len(config.sources)} sources; at most {MAX_SOURCES} are taken")
    return config


def _check_bounds(value: Any) -> None:
    """Refuse sizes of which even the list of tensors would be endless."""
    if isinstance(value, dict | list):
        if len(value) > MAX_ITEMS:
            raise CheckpointError(f"a list of {len(value)} sizes; at most {MAX_ITEMS} are taken")
        for item in value.values() if isinstance(value, dict) else value:
            _check_bounds(item)
    elif isinstance(value, int | float) and not -MAX_SIZE <= value <= MAX_SIZE:
        raise CheckpointError(f"a size of {value}; at most {MAX_SIZE} is taken")


def require_sha256(path: Path, expected: str, min_digits: int = PROOF_DIGITS) -> None:
    """Refuse a file whose sha256 does not begin with the expected hex digits.

    Fewer than `min_digits` are refused; only where publishers give no more may it be NAME_DIGITS.

    Raises:
        CheckpointError: too few digits, or another file.
    """
    expected = expected.lower()
    if not re.fullmatch(rf"[0-9a-f]{{{min_digits},64}}", expected):
        raise CheckpointError(
            f"a sha256 is 64 hex digits, or the first {min_digits} or more of them; got {expected!r}"
        )
    found = sha256_of_file(path)
    if not found.startswith(expected):
        raise CheckpointError(f"{path} has sha256 {found}, expected {expected}: it is not that file")
