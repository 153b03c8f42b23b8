"""A training in a folder: `state.pt` to resume, `best.safetensors`, `last.safetensors`, `log.jsonl`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ugosa_research.training.cunet.mixing import MixBatch, mixed_batch
from ugosa_research.training.cunet.recipe import CunetRecipe
from ugosa_research.training.cunet.solos import SolosSet, read_solos, require_video, split_takes
from ugosa_research.training.cunet.steps import CunetTraining
from ugosa_research.training.cunet.validation import CunetFigure, CunetValidation
from ugosa_research.training.display import View
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.cunet.network import ConditionedUNet

REPORT_EVERY = 10  # iterations
CALIBRATION_KEY = 8_000_000_000  # far from the iterations of a training, and from the key of validation


@dataclass(frozen=True)
class CunetProgress:
    """Where a training stands."""

    iteration: int
    loss: float
    """Mean since the last report."""
    stage: int
    """Most sources in a mix."""
    learning_rate: float
    examples_per_s: float
    validation: CunetFigure | None = None
    best: bool = False
    """The validation is the best of the run, and `best.safetensors` holds its weights."""


def run_cunet_training(
    recipe: CunetRecipe,
    data: Path,
    out: Path,
    validation_data: Path | None = None,
    start: Path | None = None,
) -> Iterator[CunetProgress]:
    """Train until `recipe.iterations`, resuming from `out` if a state is there.

    Args:
        recipe: what to do.
        data: recordings in Solos layout.
        out: folder of the run.
        validation_data: further recordings in that layout; None keeps a share of the takes of `data`.
        start: a model file to take encoder and decoders from; None starts from nothing.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    recordings = read_solos(data, recipe.network.instruments)
    if validation_data is None:
        recordings, held_out = split_takes(recordings, recipe.validation_share)
    else:
        held_out = read_solos(validation_data, recipe.network.instruments)
    if recipe.network.video:
        require_video(recordings)
        require_video(held_out)
    validation = CunetValidation(held_out, recipe)
    training = CunetTraining(recipe)
    if (out / "state.pt").exists():
        training.load(out / "state.pt")
    elif start is not None:
        training.start_from(start)
    best_db = _best_so_far(out / "best.safetensors")
    saved_s = reported_s = time.monotonic()
    losses: list[torch.Tensor] = []
    while training.iteration < recipe.iterations:
        batch = mixed_batch(
            recordings,
            recipe.mix,
            recipe.batch_size,
            training.plateau.stage,
            (recipe.seed, training.iteration),
            recipe.seen_shape,
        )
        losses.append(training.step(batch))
        done = training.iteration == recipe.iterations
        due = done or training.iteration % recipe.validate_every == 0
        if not due and training.iteration % REPORT_EVERY:
            continue
        now_s = time.monotonic()
        speed = len(losses) * recipe.batch_size / (now_s - reported_s)
        stage, rate = training.plateau.stage, training.plateau.learning_rate(recipe)
        figure, best = None, False
        if due:
            network = training.averaged_network(_calibration(recordings, recipe, stage))
            figure = validation.figure(network, stage)
            training.plateau = training.plateau.after(training.iteration, figure.loss, recipe)
            best = figure.si_sdr_db > best_db
            best_db = max(best_db, figure.si_sdr_db)
            _export(training, network, figure, out, best=best)
        if due or now_s - saved_s > recipe.checkpoint_every_s:
            training.save(out / "state.pt")
            saved_s = time.monotonic()
        loss = float(torch.stack(losses).mean())
        losses, reported_s = [], time.monotonic()
        yield CunetProgress(training.iteration, loss, stage, rate, speed, figure, best)


def view(progress: CunetProgress) -> View:
    """A report as it is shown and logged."""
    line = {"time": round(time.time()), **asdict(progress)}
    figures: dict[str, float] = {
        "training/loss": progress.loss,
        "training/learning_rate": progress.learning_rate,
        "training/most_sources": progress.stage,
        "training/examples_per_s": progress.examples_per_s,
    }
    validation = ""
    if progress.validation is not None:
        figures["validation/loss"] = progress.validation.loss
        figures["validation/si_sdr_db"] = progress.validation.si_sdr_db
        validation = (
            f"held-out SI-SDR {progress.validation.si_sdr_db:.2f} dB (mix "
            f"{progress.validation.mix_si_sdr_db:.2f} dB)" + (", the best so far" if progress.best else "")
        )
    return View(
        step=progress.iteration,
        state=f"loss {progress.loss:.4f}, sources up to {progress.stage}, rate {progress.learning_rate:.2g}",
        line=json.dumps({key: value for key, value in line.items() if value is not None}),
        figures=figures,
        validation=validation,
    )


def _calibration(recordings: SolosSet, recipe: CunetRecipe, stage: int) -> MixBatch | None:
    size = recipe.calibration_examples
    if not size:
        return None
    return mixed_batch(recordings, recipe.mix, size, stage, (CALIBRATION_KEY,), recipe.seen_shape)


def _export(
    training: CunetTraining, network: ConditionedUNet, figure: CunetFigure, out: Path, *, best: bool
) -> None:
    metadata = {
        "step": str(training.iteration),
        "seed": str(training.recipe.seed),
        "validation_si_sdr_db": f"{figure.si_sdr_db:.4f}",
        "validation_db": json.dumps({"SI-SDR": figure.si_sdr_db, "of the mix": figure.mix_si_sdr_db}),
    }
    for name in ("last", "best") if best else ("last",):
        path = out / f"{name}.safetensors"
        save_checkpoint(path, network.state_dict(), training.recipe.network, metadata)


def _best_so_far(path: Path) -> float:
    return float(read_header(path).metadata["validation_si_sdr_db"]) if path.exists() else float("-inf")
