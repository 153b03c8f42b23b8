"""Origin of an adapter: what it was learned on and from, read without torch and without its tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ugosa_server.errors import CheckpointError
from ugosa_server.marks import Interval, Mark
from ugosa_server.models.checkpoint_header import open_safetensors, safetensors_errors_explained

FORMAT = "ugosa-adapter-1"
MAX_ADAPTER_BYTES = 1024**3  # it is read into memory whole; the tensors of the largest network are 0.2 GB
MAX_HEADER_BYTES = 8 * 1024 * 1024  # of a stranger's file; 20,000 marks are far less


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
    silence: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)
    """Frames at the network's rate in which it learned that a source is silent, by source, with those of the
    adapters that it goes back to."""


def marks_sha256(marks: Sequence[Mark]) -> str:
    """Hex sha256 of the marks, whatever their order."""
    rows = [[mark.source, mark.state.value, mark.start_frame, mark.end_frame] for mark in sorted(marks)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def encode_keys(keys: AdapterKeys) -> dict[str, str]:
    """Return the metadata of an adapter's file.

    It is one entry, because safetensors writes several in random order: the same adapter is the same bytes.
    """
    return {FORMAT: msgspec.json.encode(keys).decode()}


def read_adapter_keys(path: Path) -> AdapterKeys:
    """Return the keys of an adapter's file.

    Raises:
        CheckpointError: the file is missing or unreadable, or no adapter that says where it comes from.
    """
    with safetensors_errors_explained(path, "adapter"):
        if path.stat().st_size > MAX_ADAPTER_BYTES:
            raise CheckpointError(f"{path} is no adapter: it has more than {MAX_ADAPTER_BYTES >> 20} MiB")
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
                raise CheckpointError(f"{path} is no adapter: its header is too large")
    with open_safetensors(path, "adapter") as adapter:
        words = adapter.metadata() or {}
    if FORMAT not in words:
        raise CheckpointError(f"{path} is not an adapter of format {FORMAT!r}")
    try:
        return msgspec.json.decode(words[FORMAT], type=AdapterKeys)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path} does not hold the keys of its origin: {error}") from error
