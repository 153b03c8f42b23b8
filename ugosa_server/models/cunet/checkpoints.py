"""Checkpoints of the authors of the Conditioned U-Net, read into our configuration and state dict.

They are plain state dicts. Their names, of convolutions, batch norms and FiLM generators, and ours:

| theirs | ours |
|---|---|
| `encoder.i.conv`, `encoder.i.bn`, or 0 and 1 for them | `encoder.i.conv`, `encoder.i.norm` |
| `encoder.5` | `encoder.5.conv` |
| `decoder.i.d.0`, `decoder.i.d.1` | `decoders.d.i.conv`, `decoders.d.i.norm` |
| `film.fc.linear`, `encoder.i.conditioning.fc.linear` | `film.0`, `film.i` |
| `output.*`, `classifier.*` | (never used by their forward pass) |

Shapes determine the decoder, the classes, biases, and the layers of FiLM. The user states the rest (frequency
and value scale, kind of masks, label-multiply). Their networks end in a ReLU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ugosa_server.errors import BadOptionError, CheckpointError
from ugosa_server.models.checkpoint_header import require_sha256
from ugosa_server.models.checkpoints import require_weights
from ugosa_server.models.cunet.config import BLOCKS, INSTRUMENTS, ConditionedUNetConfig
from ugosa_server.models.legacy import is_state_dict, read_legacy_pickle

CHOICES = ("frequency_scale", "value_scale", "mask", "conditioning")
"""Fields of the configuration that no shape determines."""

LAST = BLOCKS - 1
_RENAMED = (
    (re.compile(r"encoder\.(\d)\.(?:conv|0)\."), r"encoder.\1.conv."),
    (re.compile(r"encoder\.(\d)\.(?:bn|1)\."), r"encoder.\1.norm."),
    (re.compile(r"encoder\.(\d)\.conditioning\.fc\.linear\."), r"film.\1."),
    (re.compile(rf"encoder\.({LAST})\.(weight|bias)$"), r"encoder.\1.conv.\2"),
    (re.compile(r"decoder\.(\d)\.(\d+)\.0\."), r"decoders.\2.\1.conv."),
    (re.compile(r"decoder\.(\d)\.(\d+)\.1\."), r"decoders.\2.\1.norm."),
    (re.compile(r"film\.fc\.linear\."), r"film.0."),
)
_UNUSED = re.compile(r"(output|classifier)\.")


def read_cunet_checkpoint(
    path: Path, sha256: str | None = None, choices: Mapping[str, str] | None = None
) -> tuple[ConditionedUNetConfig, dict[str, Tensor]]:
    """Read a checkpoint of the authors' `MHUnet` with labels or without conditioning.

    Args:
        path: the file, usually `CP*.pth`.
        sha256: hex digits that its sha256 must begin with; None: not checked, the file names no class.
        choices: values of CHOICES; by default those of the authors' baseline (log, db, binary).
    """
    if sha256 is not None:
        require_sha256(path, sha256)
    content = read_legacy_pickle(path)
    if not is_state_dict(content) or not {f"encoder.{LAST}.weight", "decoder.0.0.0.weight"} <= set(content):
        raise CheckpointError(f"{path} holds no Conditioned U-Net of its authors")
    state = {_our_name(name): tensor for name, tensor in content.items() if not _UNUSED.match(name)}
    config = _config(state, dict(choices or {}), path)
    require_weights(path, state, config, "Conditioned U-Net")
    return config, state


def _our_name(name: str) -> str:
    for pattern, ours in _RENAMED:
        if pattern.match(name):
            return pattern.sub(ours, name)
    return name


def _config(state: Mapping[str, Tensor], choices: dict[str, str], path: Path) -> ConditionedUNetConfig:
    unknown = sorted(set(choices) - set(CHOICES))
    if unknown:
        raise BadOptionError(
            f"a file of this kind leaves {', '.join(CHOICES)} open, not {', '.join(unknown)}"
        )
    last = f"decoders.0.{LAST}.norm.weight"
    if last not in state:
        raise CheckpointError(f"{path} has no decoder of {BLOCKS} blocks")
    decoders = len({name.split(".")[1] for name in state if name.startswith("decoders.")})
    classes = decoders if decoders > 1 else state[last].numel()
    if classes != len(INSTRUMENTS):
        raise CheckpointError(f"{path} has {classes} classes, but {len(INSTRUMENTS)} are known by name")
    film = state.get("film.0.weight")
    if film is not None:
        rows, features = film.shape if film.dim() == 2 else (0, 0)
        if features != classes:
            raise CheckpointError(
                f"{path} is conditioned on {features} visual features; only labels can be imported"
            )
        by_rows = {2 * classes: "film-final", 1024: "film-bottleneck", 32: "film-encoder"}
        conditioning = by_rows.get(rows, "")
        if choices.setdefault("conditioning", conditioning) != conditioning:
            raise BadOptionError(
                f"{path} has {conditioning or 'unknown FiLM'}, not {choices['conditioning']}"
            )
    baseline = {"mask": "binary", "conditioning": "none"}
    return ConditionedUNetConfig(
        **(baseline | choices),  # type: ignore[arg-type]
        decoder="mhu-net" if decoders > 1 else "unet",
        bias="encoder.0.conv.bias" in state,
        rectified_logits=True,
    )
