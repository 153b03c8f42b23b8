"""Turn the best weights of a run into a model to ship: float16 where it fits, and words for users inside."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from ugosa_server.errors import CheckpointError
from ugosa_server.models.checkpoint_header import checkpoint_sha256, read_header
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    sha256: str
    """Hex, of the file; goes into the model card."""
    steps: int
    """Optimiser steps behind the weights."""
    validation_db: dict[str, float]
    """Median SDR on held-out songs, a source each."""


def export_best(run: Path, to: Path, description: str, adaptation: str = "{}") -> Exported:
    """Write `run`'s best validated weights to `to`.

    Args:
        run: folder of a training run.
        to: the model file; its stem becomes the model's name.
        description: one line for people who list models.
        adaptation: JSON object of adaptation options that suit these weights better than the paper's.
    """
    best = run / "best.safetensors"
    config, state = load_checkpoint(best)
    peak = max(float(tensor.abs().max()) for tensor in state.values())
    if not math.isfinite(peak):
        raise CheckpointError(f"{best} holds a weight that is no finite number")
    dtype = torch.float16 if peak < torch.finfo(torch.float16).max else torch.float32
    trained = read_header(best).metadata
    words = dict(trained) | {"description": description, "adaptation": adaptation}
    to.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(to, state, config, words, dtype=dtype)
    return Exported(to, checkpoint_sha256(to), int(trained["step"]), json.loads(trained["validation_db"]))
