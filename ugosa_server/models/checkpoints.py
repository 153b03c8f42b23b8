"""Checkpoints: the weights and sizes of a network in one safetensors file. Data, never code.

The sizes are JSON in the file's metadata, so a file alone is enough to build the network. Weights may be
stored in float16 to halve a download; they are always float32 once loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save
from torch import Tensor

from ugosa_server.errors import CheckpointError
from ugosa_server.files import replacing
from ugosa_server.models.checkpoint_header import architecture_of, open_safetensors, parse_header
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.network import build_network


def save_checkpoint(
    path: Path,
    state: Mapping[str, Tensor],
    config: NetworkConfig,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write weights and sizes; `path` is the old file or the whole new one, never a part.

    Args:
        path: where the checkpoint goes; its folder must exist.
        state: the network's state dict.
        config: the sizes of that network.
        metadata: free words beside them (recipe, seed, hours).
        dtype: type of stored floats; a tensor with a value beyond its range keeps its own.
    """
    tensors = {name: _stored(tensor.detach().cpu(), dtype) for name, tensor in state.items()}
    header = {
        "format": architecture_of(config).format,
        "config": msgspec.json.encode(config).decode(),
        **(metadata or {}),
    }
    with replacing(path) as file:
        file.write(save(tensors, metadata=header))


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    fits = tensor.is_floating_point() and (
        not tensor.numel() or bool(tensor.abs().max() <= torch.finfo(dtype).max)
    )
    return (tensor.to(dtype) if fits else tensor).contiguous()


def load_checkpoint(path: Path) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """Read sizes and float32 state dict of a checkpoint of `save_checkpoint`.

    Raises:
        CheckpointError: the file is missing, unreadable, or of another format.
    """
    with open_safetensors(path, framework="pt") as file:
        header = parse_header(file, path)
        return header.config, {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118


def require_weights(path: Path, state: Mapping[str, Tensor], config: NetworkConfig, what: str) -> None:
    """Refuse a state dict that is not one of a network of these sizes, which `what` names in the message.

    Raises:
        CheckpointError: a tensor is missing, too many, of another shape, no float, NaN or infinite.
    """
    try:
        with torch.device("meta"):
            expected = build_network(config).state_dict()
    except Exception as error:  # each kind of network has its own ways to fail at sizes that cannot work
        raise CheckpointError(f"{path} holds no {what}: none can be built: {error}") from error
    shapes, expected_shapes = ({n: t.shape for n, t in tensors.items()} for tensors in (state, expected))
    odd = sorted({name for name, _ in shapes.items() ^ expected_shapes.items()})
    if odd:
        raise CheckpointError(f"{path} holds no {what}: {odd[0]} (of {len(odd)}) does not fit")
    for name, tensor in state.items():
        is_float = tensor.is_floating_point()
        if not tensor.isfinite().all() or (expected[name].is_floating_point() and not is_float):
            raise CheckpointError(f"{path}: {name} has values that are no floats, NaN or infinite")


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Return a sha256, in hex, that is equal if and only if two state dicts are bit-identical.

    It runs over names, dtypes, shapes and bytes, sorted by name.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
