"""Display of a training: a bar on a terminal, else lines; TensorBoard if asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ugosa_server.errors import ConfigError

Report = TypeVar("Report")


@dataclass(frozen=True)
class View:
    """One report of a training, as it is shown."""

    step: int
    """Steps done."""
    state: str
    """Where the training stands, beside the bar."""
    line: str
    """All of it as JSON, for logs."""
    figures: dict[str, float]
    """Figures for TensorBoard, by `group/name`."""
    validation: str = ""
    """A sentence about a validation, which stays on the terminal; empty if there was none."""


def shown(
    reports: Iterable[Report], n_steps: int, view: Callable[[Report], View], log: Path
) -> Iterator[Report]:
    """Pass reports on, add their lines to `log`, and show rich's bar on a terminal, or the lines."""
    bar = _bar() if sys.stdout.isatty() else None
    with log.open("a") as file:
        if bar is None:
            for report in reports:
                print(view(report).line, flush=True)
                print(view(report).line, file=file, flush=True)
                yield report
            return
        with bar:
            task = bar.add_task("training", total=n_steps)
            for report in reports:
                seen = view(report)
                print(seen.line, file=file, flush=True)
                bar.update(task, completed=seen.step, description=seen.state)
                if seen.validation:
                    bar.console.print(f"{seen.step}: {seen.validation}")
                yield report


def on_tensorboard(
    reports: Iterable[Report], folder: Path, view: Callable[[Report], View]
) -> Iterator[Report]:
    """Pass reports on and write their figures as event files.

    Raises:
        ConfigError: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed; `pip install 'ugosa-research[tensorboard]'` brings it"
        ) from error
    writer: Any = SummaryWriter(str(folder))
    try:
        for report in reports:
            seen = view(report)
            for name, value in seen.figures.items():
                writer.add_scalar(name, value, seen.step)
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
