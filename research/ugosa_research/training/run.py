"""One training run in a folder: data, steps, validation, checkpoints, and the best weights so far.

The folder holds `state.pt` (to resume), `best.safetensors` and `last.safetensors` (running averages) and
`log.jsonl`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ugosa_research.songs.bank.pools import load_bank
from ugosa_research.songs.song_window import SongWindow
from ugosa_research.songs.stem_songs import read_stem_songs
from ugosa_research.songs.two_stem import read_two_stem_songs
from ugosa_research.training.augment import Batch, make_batch
from ugosa_research.training.batches_ahead import BatchesAhead
from ugosa_research.training.display import View
from ugosa_research.training.training_state import StepReport, TrainingState, train_steps
from ugosa_research.training.validation import ValidationFigure, cached_validation_songs, validate
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.network import SeparationNetwork


@dataclass(frozen=True)
class RunProgress:
    """A report of the loop, with a validation where one was due."""

    report: StepReport
    validation: ValidationFigure | None = None
    best: bool = False
    """The validation is the best of the run, and `best.safetensors` holds its weights."""


def run_training(state: TrainingState, bank_folder: Path, out: Path) -> Iterator[RunProgress]:
    """Train until the config's `steps`, resuming from `out` if a state is there."""
    config = state.config
    out.mkdir(parents=True, exist_ok=True)
    songs = cached_validation_songs(
        load_bank(bank_folder), config.validation_songs, config.validation_song_s, out / "validation.npy"
    )
    torch.set_num_threads(max(1, config.threads // state.workers))
    if (out / "state.pt").exists():
        state.load(out / "state.pt")
    best_db = _best_so_far(out / "best.safetensors")
    saved_s = time.monotonic()
    two_stem = read_two_stem_songs(Path(config.two_stem_songs)) if config.augment.two_stem_share > 0 else None
    stem_songs = read_stem_songs(Path(config.stem_songs)) if config.augment.stem_song_share > 0 else None
    with ExitStack() as running:
        window = running.enter_context(
            SongWindow(config.songs, bank_folder, out / "songs", config.generator_workers)
        )
        window.start(state.step)

        def batch_of(step: int) -> Batch:
            window.advance(step)
            return make_batch(
                config.seed,
                step,
                config.songs.window(step),
                config.songs.song_s,
                config.batch_size,
                config.segment_s,
                window.segment,
                config.augment,
                two_stem,
                stem_songs,
            )

        batches = running.enter_context(BatchesAhead(batch_of, config.steps))
        while state.step < config.steps:
            next_validation = (state.step // config.validate_every_steps + 1) * config.validate_every_steps
            for report in train_steps(state, batches, min(next_validation, config.steps)):
                yield RunProgress(report)
                if time.monotonic() - saved_s > config.checkpoint_every_s:
                    state.save(out / "state.pt")
                    saved_s = time.monotonic()
            network = state.averaged_network()
            figure = validate(network, songs, getattr(torch, config.precision))
            best = figure.mean_db > best_db
            best_db = max(best_db, figure.mean_db)
            _export(state, network, figure, out, best=best)
            yield RunProgress(report, figure, best)
    state.save(out / "state.pt")


def view(progress: RunProgress) -> View:
    """A report as it is shown and logged."""
    report = progress.report
    line: dict[str, object] = {"time": round(time.time()), **asdict(report)}
    figures = {
        "training/loss": report.loss,
        "training/learning_rate": report.learning_rate,
        "training/audio_s_per_s": report.audio_s_per_s,
    }
    validation = ""
    if progress.validation is not None:
        mean_db = progress.validation.mean_db
        line |= {"validation_db": progress.validation.sdr_db, "mean_db": mean_db, "best": progress.best}
        figures["validation/mean_db"] = mean_db
        figures |= {f"validation/{source}_db": db for source, db in progress.validation.sdr_db.items()}
        validation = f"held-out SDR {mean_db:.2f} dB" + (", the best so far" if progress.best else "")
    return View(
        step=report.step,
        state=f"loss {report.loss:.4f}, {report.audio_s_per_s:.0f} times real time",
        line=json.dumps(line),
        figures=figures,
        validation=validation,
    )


def _export(
    state: TrainingState, network: SeparationNetwork, figure: ValidationFigure, out: Path, *, best: bool
) -> None:
    metadata = {
        "step": str(state.step),
        "seed": str(state.config.seed),
        "validation_mean_db": f"{figure.mean_db:.4f}",
        "validation_db": json.dumps(figure.sdr_db),
    }
    for name in ("last", "best") if best else ("last",):
        save_checkpoint(out / f"{name}.safetensors", network.state_dict(), network.config, metadata)


def _best_so_far(path: Path) -> float:
    return float(read_header(path).metadata["validation_mean_db"]) if path.exists() else float("-inf")
