"""Turn the weights of a run into what is shipped: float16 where it fits, and a file of its sha256 beside it.

Of a `band` only the decoder is ours; `models pull band` puts it together with the stages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from ugosa_server.errors import CheckpointError
from ugosa_server.files import replacing, sha256_of_file
from ugosa_server.models.band.config import DECODER, BandConfig
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class ExportedCheckpoint:
    """Checkpoint written from a training run."""

    path: Path
    sha256: str
    """Hex, of the file; goes into the model card."""
    steps: int
    """Optimiser steps behind the weights."""
    validation_db: dict[str, float]
    """Median SDR on held-out songs, a source each."""


def export_weights(
    run: Path,
    to: Path,
    description: str,
    adaptation: str = "{}",
    weights: str = "best",
    separation: str = "{}",
) -> ExportedCheckpoint:
    """Write `run`'s best validated weights, or its last ones, to `to`, and its sha256 beside it.

    Args:
        run: folder of a training run.
        to: the model file; its stem becomes the model's name. Of a `band`, the file of its decoder, which has
            none of the following.
        description: one line for people who list models.
        adaptation: JSON object of adaptation options that suit these weights better than the paper's.
        weights: "best" or "last".
        separation: JSON object of separation options that suit them.

    Raises:
        CheckpointError: there are none, or one is no finite number.
    """
    source = run / f"{weights}.safetensors"
    config, state = load_checkpoint(source)
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise CheckpointError(f"{source} holds a weight that is no finite number")
    trained = read_header(source).metadata
    to.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(config, BandConfig):
        decoder = {
            name.removeprefix(DECODER): tensor.half()
            for name, tensor in state.items()
            if name.startswith(DECODER)
        }
        with replacing(to) as file:
            file.write(save(decoder, metadata={key: trained[key] for key in ("step", "validation_db")}))
    else:
        words = dict(trained) | {
            "description": description,
            "adaptation": adaptation,
            "separation": separation,
        }
        save_checkpoint(to, state, config, words, dtype=torch.float16)
    sha256 = sha256_of_file(to)
    to.with_suffix(".sha256").write_text(f"{sha256}  {to.name}\n", encoding="utf-8")
    return ExportedCheckpoint(to, sha256, int(trained["step"]), json.loads(trained["validation_db"]))
