"""Figures of an experiment, as in the paper: Figure 2's bars, and the sweeps of section 5.2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ugosa_research.evaluation.methods import OPTION_WORDS
from ugosa_research.evaluation.results import Results
from ugosa_research.evaluation.song_scores import BSS_METRICS
from ugosa_server.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROPOSED_COLOUR = "tab:blue"
BASELINE_COLOUR = "tab:orange"
UNADAPTED_COLOUR = "tab:red"
LOGARITHMIC = frozenset({"silence_weight", "learning_rate"})


def write_figures(results: Results, folder: Path, metric: str = "SDR") -> list[Path]:
    """Write every figure that the results have data for, as SVG.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    written = []
    if any(run.strategy != "B0" and not run.changes for run in results.runs):
        written.append(_save(depth_bars(results, metric), folder / "figure-2.svg"))
    for field, word in OPTION_WORDS.items():
        for strategy in _swept(results, field):
            figure = sweep(results, strategy, field)
            written.append(_save(figure, folder / f"sweep-{word}-{strategy.replace(':', '')}.svg"))
    return written


def depth_bars(results: Results, metric: str) -> Figure:
    """Figure 2: bars of a metric by depth, with the marks (blue) and without (orange); B0 is the line."""
    depths = list(
        dict.fromkeys(run.strategy[2:] for run in results.runs if run.strategy != "B0" and not run.changes)
    )
    depths.sort()
    stems = [
        stem for stem in results.stems if any(results.song_values(m, stem, metric) for m in results.methods)
    ]
    figure = _new_figure(3.0 * max(1, len(stems)), 3.1)
    for column, stem in enumerate(stems, start=1):
        axes = figure.add_subplot(1, len(stems), column)
        for offset, prefix, colour, label in (
            (-0.2, "P", PROPOSED_COLOUR, "with the marks (P)"),
            (0.2, "B", BASELINE_COLOUR, "without (B)"),
        ):
            values = [results.value(f"{prefix}-{depth}", stem, metric) for depth in depths]
            axes.bar(np.arange(len(depths)) + offset, np.nan_to_num(values), 0.4, color=colour, label=label)
        axes.axhline(results.value("B0", stem, metric), color=UNADAPTED_COLOUR, label="unadapted (B0)")
        axes.set_title(stem)
        axes.set_xticks(np.arange(len(depths)), depths)
        if column == 1:
            axes.set_ylabel(f"{metric} / dB")
            handles = axes.get_legend_handles_labels()
            figure.legend(*handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def sweep(results: Results, strategy: str, field: str) -> Figure:
    """Section 5.2: the four metrics over the values of one option, a line for each stem."""
    runs = {
        run.changes[field]: run.method
        for run in results.runs
        if _is_of_sweep(run.changes, run.strategy, strategy, field)
    }
    values = sorted(runs)
    figure = _new_figure(3.0 * len(BSS_METRICS), 3.1)
    for column, metric in enumerate(BSS_METRICS, start=1):
        axes = figure.add_subplot(1, len(BSS_METRICS), column)
        for stem in results.stems:
            axes.plot(
                values, [results.value(runs[value], stem, metric) for value in values], "o-", label=stem
            )
        if field in LOGARITHMIC:
            axes.set_xscale("log")
        axes.set_title(metric)
        axes.set_xlabel(OPTION_WORDS[field])
        if column == 1:
            axes.set_ylabel("dB")
            handles = axes.get_legend_handles_labels()
            figure.legend(*handles, loc="outside lower center", ncols=len(results.stems), fontsize="small")
    return figure


def _swept(results: Results, field: str) -> Sequence[str]:
    """Strategies with at least two values of an option, all else being equal."""
    values: dict[str, set[float]] = {}
    for run in results.runs:
        if set(run.changes) == {field}:
            values.setdefault(run.strategy, set()).add(run.changes[field])
    return [strategy for strategy, found in values.items() if len(found) > 1]


def _is_of_sweep(changes: dict[str, float], strategy: str, wanted: str, field: str) -> bool:
    return strategy == wanted and set(changes) == {field}


def _new_figure(width_inches: float, height_inches: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "matplotlib is not installed; `pip install 'ugosa-research[eval]'` brings it"
        ) from error
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _save(figure: Figure, path: Path) -> Path:
    # Without a date and with fixed ids, so that the same results give the same file.
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "ugosa", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
    return path
