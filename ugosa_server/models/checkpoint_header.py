"""Header and sha256 of a checkpoint: read without its weights and without torch, to list models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ugosa_server.errors import CheckpointError
from ugosa_server.files import sha256_of_file
from ugosa_server.models.architectures import ARCHITECTURES
from ugosa_server.models.config import NetworkConfig

PROOF_DIGITS = 32  # hex; 128 bits cannot be met by trying
NAME_DIGITS = 8  # hex; a fingerprint in a file's name tells of damage, but can be forged within minutes


@dataclass(frozen=True)
class CheckpointHeader:
    """The metadata of a checkpoint file."""

    config: NetworkConfig
    metadata: Mapping[str, str]
    """Free words beside the weights (description, recipe, seed, hours)."""


def read_header(path: Path) -> CheckpointHeader:
    """Read the header of a checkpoint of `save_checkpoint`, without its weights.

    Raises:
        CheckpointError: the file is missing, unreadable, or of another format.
    """
    with open_safetensors(path) as file:
        return parse_header(file.metadata(), path)


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


def parse_header(words: Mapping[str, str] | None, path: Path) -> CheckpointHeader:
    """Split the metadata of a safetensors file into sizes and free words; `path` is for messages."""
    words = words or {}
    architecture = ARCHITECTURES.get(words.get("format", ""))
    if architecture is None:
        raise CheckpointError(
            f"{path} has format {words.get('format')!r}, expected one of {', '.join(ARCHITECTURES)}"
        )
    try:
        config = architecture.read_config(words.get("config", "null"))
    except CheckpointError as error:
        raise CheckpointError(f"{path} states no sizes of a network: {error.message}") from error
    return CheckpointHeader(
        config, {key: word for key, word in words.items() if key not in ("format", "config")}
    )


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
