"""What a training shows while it runs: a bar on a terminal, else lines; TensorBoard if asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ugosa_server.errors import ConfigError
from ugosa_server.training.conditioned_unet.run import CunetProgress, log_line


def shown(reports: Iterable[CunetProgress], iterations: int) -> Iterator[CunetProgress]:
    """Pass reports on and show them: rich's progress bar on a terminal that has it, else lines of JSON."""
    bar = _bar() if sys.stdout.isatty() else None
    if bar is None:
        for report in reports:
            print(log_line(report), flush=True)
            yield report
        return
    with bar:
        task = bar.add_task("training", total=iterations)
        for report in reports:
            bar.update(
                task,
                completed=report.iteration,
                description=f"loss {report.loss:.4f}, up to {report.stage} sources, "
                f"rate {report.learning_rate:.2g}",
            )
            if report.validation is not None:
                bar.console.print(
                    f"{report.iteration}: held-out SI-SDR {report.validation.si_sdr_db:.2f} dB (mix "
                    f"{report.validation.mix_si_sdr_db:.2f} dB)"
                    + (", the best so far" if report.best else "")
                )
            yield report


def on_tensorboard(reports: Iterable[CunetProgress], folder: Path) -> Iterator[CunetProgress]:
    """Pass reports on and write their figures as event files.

    Raises:
        ConfigError: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed; `pip install 'ugosa-server[tensorboard]'` brings it"
        ) from error
    writer: Any = SummaryWriter(str(folder))
    try:
        for report in reports:
            figures = {
                "training/loss": report.loss,
                "training/learning_rate": report.learning_rate,
                "training/most_sources": report.stage,
                "training/examples_per_s": report.examples_per_s,
            }
            if report.validation is not None:
                figures["validation/loss"] = report.validation.loss
                figures["validation/si_sdr_db"] = report.validation.si_sdr_db
            for name, value in figures.items():
                writer.add_scalar(name, value, report.iteration)
            yield report
    finally:
        writer.close()


def _bar() -> Any:
    """A progress bar; None where rich, which comes with the client, is not installed."""
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )
