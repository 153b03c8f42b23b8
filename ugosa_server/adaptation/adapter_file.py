"""Adapter files: the tensors that an adaptation changed, with the keys of their origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ugosa_server.adaptation.adapter_keys import AdapterKeys, encode_keys, read_adapter_keys
from ugosa_server.errors import CheckpointError
from ugosa_server.files import replacing
from ugosa_server.models.checkpoint_header import open_safetensors


def save_adapter(path: Path, tensors: Mapping[str, Tensor], keys: AdapterKeys) -> None:
    """Write the changed tensors and their keys; `path` is a whole file or none."""
    blob = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata=encode_keys(keys),
    )
    with replacing(path) as file:
        file.write(blob)


def load_adapter(path: Path, base_sha256: str) -> tuple[AdapterKeys, dict[str, Tensor]]:
    """Read an adapter for the checkpoint of that hash.

    Raises:
        CheckpointError: the file is missing or unreadable, or belongs to another checkpoint.
    """
    keys = read_adapter_keys(path)
    if keys.base_sha256 != base_sha256:
        raise CheckpointError(
            f"{path} was learned on the checkpoint {keys.base_sha256[:12]}, but this one is "
            f"{base_sha256[:12]}; load the model it was made with"
        )
    with open_safetensors(path, "adapter", framework="pt") as file:
        return keys, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def apply_adapter(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Copy an adapter's tensors into the trainable parameters of `loop.adaptation_of`.

    Raises:
        CheckpointError: names or shapes are not those of the strategy, or numbers are not finite.
    """
    if {name: p.shape for name, p in parameters.items()} != {name: t.shape for name, t in tensors.items()}:
        raise CheckpointError(
            f"the adapter's tensors ({len(tensors)}) are not those of this strategy ({len(parameters)})"
        )
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise CheckpointError("the adapter holds numbers that are not finite")
    copy_into(parameters, tensors)


def copy_into(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Give the parameters of these names the values of the tensors, and no gradient."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
            parameters[name].grad = None
