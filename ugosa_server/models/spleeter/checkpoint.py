"""Deezer's checkpoints of Spleeter, read into sizes and a state dict.

In the file the variables of a kind are numbered in the order of their creation, source after source: seven
convolutions (the last is the mask's), six transposed ones and twelve norms each. The norm of the deepest
convolution is created but leads nowhere. Kernels are [height, width, in, out], of transposed convolutions
[height, width, out, in].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ugosa_server.models.spleeter.config import N_LAYERS, SpleeterConfig, norm_channels, unet_parameter_shapes
from ugosa_server.models.spleeter.tensor_bundle import TensorBundle

PUBLISHED_CONFIGS: Mapping[str, SpleeterConfig] = {
    "2stems": SpleeterConfig(("vocals", "accompaniment")),
    "4stems": SpleeterConfig(("vocals", "drums", "bass", "other"), activation="elu"),
    "5stems": SpleeterConfig(
        ("vocals", "piano", "drums", "bass", "other"), activation="elu", mask_function="softmax"
    ),
}
"""The models of Deezer's release, by the names of its files."""

NORM_PARTS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def read_spleeter_checkpoint(prefix: Path, config: SpleeterConfig) -> dict[str, Tensor]:
    """Read the tensor bundle PREFIX.index, PREFIX.data-00000-of-00001 as a network of these sizes.

    Raises:
        CheckpointError: it is no such bundle, or holds another network.
    """
    bundle = TensorBundle(prefix)
    norms = norm_channels(config.filters)
    state = {}
    for i in range(len(config.sources)):
        for name, shape in unet_parameter_shapes(config.filters).items():
            layer, _, part = name.rpartition(".")
            if layer not in norms:
                state[f"unets.{i}.{name}"] = _convolution(bundle, i, layer, part, shape)
        for layer, channels in norms.items():
            variable = _numbered("batch_normalization", 2 * N_LAYERS * i + _norm_number(layer))
            for part, tf_part in NORM_PARTS.items():
                values = bundle.read(f"{variable}/{tf_part}", (channels,))
                state[f"unets.{i}.{layer}.{part}"] = torch.from_numpy(values)
    return state


def _convolution(bundle: TensorBundle, source: int, layer: str, part: str, shape: tuple[int, ...]) -> Tensor:
    """Kernel or bias of one convolution, as torch has it."""
    if layer.startswith("up."):
        variable = _numbered("conv2d_transpose", N_LAYERS * source + int(layer.removeprefix("up.")))
    else:
        number = N_LAYERS if layer == "mask" else int(layer.removeprefix("down."))
        variable = _numbered("conv2d", (N_LAYERS + 1) * source + number)
    if part == "bias":
        return torch.from_numpy(bundle.read(f"{variable}/bias", shape))
    # [h, w, in, out], or [h, w, out, in] of a transposed one, to [out, in, h, w] and [in, out, h, w]
    first, second, height, width = shape
    kernel = bundle.read(f"{variable}/kernel", (height, width, second, first))
    return torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()


def _norm_number(layer: str) -> int:
    kind, _, number = layer.partition(".")
    return int(number) + (N_LAYERS if kind == "up_norm" else 0)


def _numbered(name: str, number: int) -> str:
    """Keras' names: the first variable of a kind has no number."""
    return f"{name}_{number}" if number else name
