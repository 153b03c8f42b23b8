"""Older checkpoints of demucs' ConvTasNet, read into sizes and a state dict.

| layout | what the file holds |
|---|---|
| published weights (demucs 2 and 3) | the state dict alone |
| demucs 1 | a tuple (class, args, kwargs, state) |
| demucs 2's own training | a dict with klass, args, kwargs, state, training_args |

The sizes are taken from the shapes of the tensors, which cannot be wrong, whatever the arguments say; only
names of sources and the sample rate come from there. The last two layouts name a class, so their file is
opened only if the caller knows its sha256 (see `legacy_pickle` for what happens to the class).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugosa_server.errors import BadOptionError, CheckpointError
from ugosa_server.models.checkpoint_header import require_sha256
from ugosa_server.models.conv_tasnet_config import ConvTasNetConfig
from ugosa_server.models.legacy_pickle import ClassReference, read_legacy_pickle

CLASS_NAMES = ("demucs.tasnet.ConvTasNet",)
PUBLISHED_SOURCES = ("drums", "bass", "other", "vocals")
PUBLISHED_SAMPLE_RATE_HZ = 44100
# What the published network is; a checkpoint of another variant has the same names and shapes.
ONLY_VARIANT = {"norm_type": "gLN", "causal": False, "mask_nonlinear": "relu"}

_BLOCK = re.compile(r"separator\.network\.2\.(\d+)\.(\d+)\.")


def read_legacy_checkpoint(
    path: Path, sha256: str | None = None, sources: Sequence[str] | None = None
) -> tuple[ConvTasNetConfig, dict[str, Tensor]]:
    """Read a checkpoint of any of the three layouts.

    Args:
        path: the file, usually `*.th`.
        sha256: hex digits that its hash must begin with; needed for the layouts that name a class.
        sources: names of the outputs; None = those in the file, else those of the published network.

    Raises:
        CheckpointError: the file is another one, refused, or holds no ConvTasNet of demucs.
    """
    if sha256 is not None:
        require_sha256(path, sha256)
    try:
        content = read_legacy_pickle(path, CLASS_NAMES if sha256 is not None else ())
    except CheckpointError as error:
        if sha256 is None:
            raise CheckpointError(
                f"{error.message}. (A checkpoint that names its network's class is opened only if you say "
                "its sha256, as published by whom you have it from.)"
            ) from error
        raise
    args, kwargs, state = _parts(content, path)
    return _config(args, kwargs, state, sources, path), state


def _parts(content: Any, path: Path) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Tensor]]:
    """Arguments and state dict of whichever layout it is."""
    match content:
        case {"klass": klass, "args": args, "kwargs": kwargs, "state": state}:
            pass
        case [klass, args, kwargs, state]:
            pass
        case _:
            klass, args, kwargs, state = ClassReference, (), {}, content
    if not (isinstance(klass, type) and issubclass(klass, ClassReference)):
        raise CheckpointError(f"{path} should name the class of its network, but has {klass!r} there")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not _is_state(state):
        raise CheckpointError(f"{path} holds no weights of a network in any of the known layouts")
    return tuple(args), kwargs, dict(state)


def _is_state(state: Any) -> bool:
    return (
        isinstance(state, Mapping)
        and bool(state)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())
    )


def _config(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    state: Mapping[str, Tensor],
    sources: Sequence[str] | None,
    path: Path,
) -> ConvTasNetConfig:
    """Sizes from the shapes of the tensors; names and rate from the arguments."""
    for name, only in ONLY_VARIANT.items():
        if kwargs.get(name, only) != only:
            raise CheckpointError(f"{path} has {name}={kwargs[name]!r}; only {only!r} is supported")
    named, sizes = (args[0], args[1:]) if args and isinstance(args[0], list | tuple) else (None, args)
    if any(type(size) is not int for size in sizes):
        raise CheckpointError(f"{path} was made with arguments {sizes!r}; only sizes are understood there")
    try:
        n, c, length = state["encoder.conv1d_U.weight"].shape
        b, _, _ = state["separator.network.1.weight"].shape
        h, _, _ = state["separator.network.2.0.0.net.0.weight"].shape
        _, _, p = state["separator.network.2.0.0.net.3.net.0.weight"].shape
        n_masks, _, _ = state["separator.network.3.weight"].shape
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} holds no ConvTasNet of demucs: {error} is missing or odd") from error
    blocks = [(int(match[1]), int(match[2])) for match in map(_BLOCK.match, state) if match]
    n_sources = n_masks // n
    names = sources or kwargs.get("sources") or named
    if names is None and n_sources == len(PUBLISHED_SOURCES):
        names = PUBLISHED_SOURCES
    if names is None or len(names) != n_sources or not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"{path} has {n_sources} sources, but their names are {names}; say them in order"
        )
    try:
        config = ConvTasNetConfig(
            sources=tuple(names),
            audio_channels=c,
            sample_rate_hz=int(kwargs.get("samplerate", PUBLISHED_SAMPLE_RATE_HZ)),
            encoder_filters=n,
            encoder_length=length,
            bottleneck_channels=b,
            block_channels=h,
            kernel_size=p,
            blocks_per_repeat=1 + max(x for _, x in blocks),
            repeats=1 + max(r for r, _ in blocks),
        )
    except (BadOptionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds sizes that cannot work: {error}") from error
    _require_tensors(config, state, path)
    return config


def _require_tensors(config: ConvTasNetConfig, state: Mapping[str, Tensor], path: Path) -> None:
    """Every parameter has its shape and finite numbers, and there is nothing else."""
    shapes = config.parameter_shapes()
    odd = sorted(
        name
        for name in shapes.keys() | state.keys()
        if name not in state or shapes.get(name) != state[name].shape
    )
    if odd:
        raise CheckpointError(f"{path} holds no ConvTasNet of demucs: {odd[0]} (of {len(odd)}) does not fit")
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds values that are no finite numbers")
