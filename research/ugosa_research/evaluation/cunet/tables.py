"""Tables 1 to 3 of Slizovskaia et al. in their layout: the paper's numbers, and ours beside them.

The paper's are of networks trained on Solos for 500,000 iterations and tested on URMP; ours of whatever was
evaluated, which for the shipped networks is rendered music. The columns stand side by side to show the
layout and the order of rows, not a rivalry; only a network trained on Solos and tested on URMP compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ugosa_research.cunet.experiments import EXPERIMENTS
from ugosa_research.evaluation.cunet.experiment import SystemFigures
from ugosa_research.evaluation.cunet.systems import IBM, INPUT_MIX, RIGHT, VIDEO, System
from ugosa_research.evaluation.paper_table import markdown
from ugosa_server.models.cunet.config import ConditionedUNetConfig

COLUMNS = ("SI-SDR", "SD-SDR", "PES", "SDR", "SIR", "SAR")
GRID_CHOICES = (
    "frequency_scale",
    "value_scale",
    "decoder",
    "conditioning",
    "context",
    "context_frames",
    "visual_fine_tuning",
    "bias",
)
"""Conditions for a network to belong to a row; noise in training is one, too."""
NEEDS_VIDEO = "not run: needs videos of the players, which no package carries"
NEEDS_SOP = "not run: needs the Sound-of-Pixels weights and videos"
NO_MODEL = "no such model given"

Numbers = tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True)
class PaperRow:
    """One row of a table of the paper."""

    method: str
    row_id: str
    """As printed: an experiment, U or L, or a number of frames."""
    paper: Numbers
    """(mean, standard deviation) by `COLUMNS`; None where the paper has none."""
    config: ConditionedUNetConfig | None = None
    """The network, of rows 1 to 16; its mask is what its predictions are made with, too."""
    bound: str | None = None
    """The system of the rows U and L."""
    not_run: str = NO_MODEL
    """Text where nothing of ours belongs in the row."""


def _numbers(text: str) -> Numbers:
    """Six times "mean deviation", or "n/a"."""
    words = text.replace("n/a", "n/a n/a").split()
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple(None if mean == "n/a" else (float(mean), float(std)) for mean, std in pairs)


_PRINTED = {
    1: "-12.5 21.0 -18.1 28.2 -47.9 30.2 -4.35 8.48 -0.18 7.34 5.03 8.55",
    2: "-15.9 20.4 -24.1 28.8 -33.7 24.5 -5.86 9.05 -0.68 8.33 3.16 8.65",
    3: "-10.7 19.9 -14.9 24.7 -41.6 33.3 -3.09 8.64 1.12 8.68 4.89 6.78",
    4: "-2.3 7.3 -10.8 12.7 -11.9 8.4 0.52 6.60 3.54 8.48 8.06 3.52",
    5: "-10.6 20.1 -14.9 25.6 -42.1 32.5 -3.12 8.84 1.28 8.41 4.99 7.60",
    6: "-17.2 24.5 -22.2 28.4 -32.5 34.7 -6.34 11.56 -1.99 10.42 4.99 8.88",
    7: "-19.1 25.5 -26.5 31.8 -47.3 31.4 -6.57 11.00 0.95 9.43 0.98 10.30",
    8: "-17.2 24.8 -21.9 28.2 -33.6 34.5 -6.37 12.10 -1.93 10.95 4.57 8.54",
    9: "-12.3 19.3 -17.9 26.5 -44.0 27.8 -4.19 8.06 -0.36 7.45 5.32 7.87",
    10: "-14.5 19.7 -21.9 27.7 -34.5 25.7 -5.19 8.43 -0.25 7.86 3.56 8.27",
    11: "-13.3 21.2 -18.3 27.4 -31.4 34.1 -5.12 8.84 -0.95 7.91 6.50 10.76",
    12: "-2.8 8.6 -3.2 9.1 7.4 8.9 -1.46 5.47 0.00 5.97 9.34 4.33",
    13: "-14.0 20.6 -21.3 28.8 -37.2 28.4 -4.86 8.67 -0.08 8.06 3.98 8.24",
    14: "-12.4 19.9 -17.7 26.5 -45.6 30.1 -4.26 8.24 -0.57 7.47 5.35 7.73",
    15: "-14.5 22.6 -20.2 28.6 -35.9 36.3 -4.89 9.24 -0.79 8.59 6.13 9.64",
    16: "-3.0 10.3 -3.3 10.7 8.9 7.4 -1.48 5.85 -0.14 6.40 9.90 4.54",
}


def _experiment(method: str, number: int) -> PaperRow:
    return PaperRow(method, str(number), _numbers(_PRINTED[number]), EXPERIMENTS[str(number)].network)


TABLE_1 = (
    PaperRow("IBM", "U", _numbers("11.4 5.9 11.2 6.4 n/a 10.31 4.42 17.47 5.54 11.84 4.30"), bound=IBM),
    PaperRow(
        "input mix",
        "L",
        _numbers("-3.7 5.7 -3.7 5.7 18.2 4.2 -3.48 4.82 -3.20 4.95 18.10 11.21"),
        bound=INPUT_MIX,
    ),
    _experiment("log-scale STFT", 1),
    _experiment("linear-scale STFT", 2),
    _experiment("binary masks", 3),
    _experiment("ratio masks", 4),
    _experiment("w/o noise", 5),
    _experiment("w/ noise", 6),
    _experiment("log-value STFT", 7),
    _experiment("dB-normalized STFT", 3),
    _experiment("no curriculum", 8),
    _experiment("curriculum", 5),
    _experiment("U-Net", 9),
    _experiment("MHU-Net", 3),
)
_LABEL_METHODS = ("w/o conditioning", "FiLM-encoder", "FiLM-bottleneck", "FiLM-final", "Label-multiply")
TABLE_2 = {
    scale: tuple(_experiment(method, n) for method, n in zip(_LABEL_METHODS, numbers, strict=True))
    for scale, numbers in (("linear", (2, 10, 9, 11, 12)), ("log", (1, 13, 14, 15, 16)))
}
_PRINTED_VIDEO = {
    "encoder-1": "-14.5 20.4 -22.4 28.8 -37.4 28.2 -4.98 8.58 -0.19 8.02 3.96 8.34",
    "bottleneck-1": "-12.0 20.2 -17.1 26.6 -44.9 29.5 -4.20 8.54 -0.38 7.54 5.41 8.19",
    "bottleneck-1-ft": "-10.5 19.6 -15.2 26.6 -46.8 30.0 -3.65 8.33 0.20 7.14 5.65 8.33",
    "bottleneck-15": "-12.2 19.0 -17.8 26.1 -37.6 29.8 -4.94 8.60 -0.41 8.24 4.48 8.30",
    "bottleneck-50": "-14.6 21.1 -21.5 28.7 -38.8 30.1 -5.25 8.74 -0.81 7.91 4.39 8.48",
    "final-1": "-13.3 21.3 -18.6 27.7 -39.0 35.0 -4.96 9.40 -0.81 8.19 5.79 9.66",
}


def _video_experiment(name: str) -> PaperRow:
    layer, frames, *fine_tuned = name.split("-")
    method = "-".join(["FiLM", layer, *fine_tuned])
    return PaperRow(
        method, frames, _numbers(_PRINTED_VIDEO[name]), EXPERIMENTS[name].network, not_run=NEEDS_VIDEO
    )


TABLE_3 = (
    PaperRow("w/o conditioning", "0", _numbers(_PRINTED[1]), EXPERIMENTS["1"].network),
    *(_video_experiment(name) for name in _PRINTED_VIDEO),
    *(
        PaperRow(method, "3", _numbers(text), not_run=NEEDS_SOP)
        for method, text in (
            ("SoP-unet7", "-18.69 8.97 -21.09 9.36 n/a -3.76 4.00 -1.45 4.68 7.56 3.13"),
            ("SoP-unet7-ft", "-17.48 8.50 -20.25 9.29 n/a -2.57 4.99 0.47 6.43 6.89 2.48"),
            ("SoP-unet5-Solos", "-16.97 8.61 -18.69 8.86 n/a -2.92 4.64 -1.67 5.34 11.07 6.87"),
        )
    ),
)


def paper_tables(systems: Sequence[System], figures: Sequence[SystemFigures]) -> str:
    """Tables 1, 2 and 3 as Markdown, then all that was measured."""
    sections = [
        "**Table 1** (ablations)\n\n" + _table(TABLE_1, systems, figures),
        *(
            f"**Table 2** (labels, {scale}-scale STFT)\n\n" + _table(rows, systems, figures)
            for scale, rows in TABLE_2.items()
        ),
        "**Table 3** (video; the second column is the number of frames)\n\n"
        + _table(TABLE_3, systems, figures),
        "**All that was measured here** (mean ± standard deviation over segments and sources)\n\n"
        + measured_table(figures),
    ]
    return "\n\n".join(sections)


def measured_table(figures: Sequence[SystemFigures]) -> str:
    """Systems down, all metrics across."""
    columns = [*COLUMNS, "EPS"]
    rows = [[entry.system, *(_ours(entry, metric) for metric in columns)] for entry in figures]
    return markdown(["", *columns], rows)


def system_for(row: PaperRow, systems: Sequence[System]) -> System | None:
    """The system of ours that belongs in a row, if any: right labels, masks as trained.

    A network belongs where it has the row's frequency axis, values, decoder, bias, noise and conditioning;
    sizes and the kind of mask may differ, which `_difference` says.
    """
    if row.bound is not None:
        return next((system for system in systems if system.name == row.bound), None)
    matching = [
        system
        for system in systems
        if system.labels in (RIGHT, VIDEO)
        and system.config is not None
        and row.config is not None
        and all(getattr(system.config, name) == getattr(row.config, name) for name in GRID_CHOICES)
        and (system.config.input_noise_std > 0) == (row.config.input_noise_std > 0)
    ]
    as_printed = [
        system
        for system in matching
        if row.config and system.masks == ("hard" if row.config.mask == "binary" else "soft")
    ]
    return next(iter(as_printed or matching), None)


def _table(rows: Sequence[PaperRow], systems: Sequence[System], figures: Sequence[SystemFigures]) -> str:
    header = ["Method", "ID", *(word for metric in COLUMNS for word in (metric, "ours")), "what ours is"]
    by_name = {entry.system: entry for entry in figures}
    lines = []
    for row in rows:
        system = system_for(row, systems)
        line = [row.method, row.row_id]
        for metric, printed in zip(COLUMNS, row.paper, strict=True):
            line += [
                "n/a" if printed is None else f"{printed[0]:g} ± {printed[1]:g}",
                "-" if system is None else _ours(by_name[system.name], metric),
            ]
        lines.append([*line, row.not_run if system is None else system.name + _difference(row, system)])
    return markdown(header, lines)


def _difference(row: PaperRow, system: System) -> str:
    if row.config is None or system.config is None:
        return ""
    words = []
    if system.config.mask != row.config.mask:
        words.append(f"trained on {system.config.mask} masks")
    if system.config.first_channels != row.config.first_channels:
        words.append(f"{system.config.first_channels} instead of {row.config.first_channels} first channels")
    return f" ({', '.join(words)})" if words else ""


def _ours(entry: SystemFigures, metric: str) -> str:
    figure = entry.figures[metric]
    return "n/a" if np.isnan(figure.mean) else f"{figure.mean:.1f} ± {figure.deviation:.1f}"
