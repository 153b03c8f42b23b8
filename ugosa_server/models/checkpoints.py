"""Checkpoints: a ConvTasNet's weights and sizes in one safetensors file. Data, never code.

The sizes stand as JSON in the file's metadata, so a file alone is enough to build the network. Weights may be
stored in float16 to halve a download; they are always float32 once loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ugosa_server.errors import CheckpointError, UgosaError
from ugosa_server.models.conv_tasnet import ConvTasNetConfig

FORMAT = "ugosa-convtasnet-1"
HASH_BLOCK_BYTES = 1 << 20


def save_checkpoint(
    path: Path,
    state: Mapping[str, Tensor],
    config: ConvTasNetConfig,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write weights and sizes so that `path` is the old file or the whole new one, never a part.

    Args:
        path: where the checkpoint goes; its folder must exist.
        state: the network's state dict.
        config: the sizes of that network.
        metadata: free words to keep beside them (recipe, seed, hours).
        dtype: how floats are stored; float16 halves the file.
    """
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}
    header = {"format": FORMAT, "config": json.dumps(dataclasses.asdict(config))} | dict(metadata or {})
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(save(tensors, metadata=header))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)  # the rename itself must reach the disk too
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_checkpoint(path: Path) -> tuple[ConvTasNetConfig, dict[str, Tensor]]:
    """Read a checkpoint of `save_checkpoint`: its sizes and its float32 state dict."""
    header, tensors = _read(path)
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {header.get('format')!r}, expected {FORMAT!r}")
    return _config_from_json(header.get("config", ""), path), {
        name: tensor.float() for name, tensor in tensors.items()
    }


def checkpoint_metadata(path: Path) -> dict[str, str]:
    """The free words kept beside the weights."""
    header, _ = _read(path)
    return {key: value for key, value in header.items() if key not in ("format", "config")}


def checkpoint_sha256(path: Path) -> str:
    """Hex sha256 of the file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Hex sha256 over names, dtypes, shapes and bytes, sorted by name: equal if and only if bit-identical."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint at {path}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error


def _config_from_json(text: str, path: Path) -> ConvTasNetConfig:
    try:
        fields = json.loads(text)
        return ConvTasNetConfig(**fields | {"sources": tuple(fields["sources"])})
    except (ValueError, TypeError, KeyError, UgosaError) as error:
        raise CheckpointError(f"{path} does not say a network's sizes: {error}") from error
