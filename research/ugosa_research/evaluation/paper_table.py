"""The tables of an experiment as Markdown, with the paper's numbers beside ours.

The paper's: Cantisani et al. 2021, Table 1, with the authors' network trained on MUSDB18 and the first ten
songs of its test set. Only a run with those weights on those songs is comparable to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ugosa_research.evaluation.results import Results
from ugosa_research.evaluation.song_scores import BSS_METRICS, PLAIN_METRICS

PAPER_SOURCES = ("other", "bass", "drums", "vocals")

# dB; SDR, SIR, SAR, ISR of each of PAPER_SOURCES
PAPER_TABLE_1: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "P-L1:D": ((6.1, 9.3, 6.7, 12.4), (8.1, 15.3, 7.6, 12.2), (7.4, 14.6, 7.5, 14.3), (6.3, 15.9, 7.3, 13.2)),
    "P-L2:D": ((6.2, 9.5, 6.5, 12.1), (8.3, 15.3, 7.6, 12.0), (7.4, 14.5, 7.6, 14.4), (6.2, 15.7, 7.1, 13.7)),
    "P-L3:D": ((6.1, 9.5, 6.5, 11.6), (8.3, 12.3, 7.0, 11.4), (7.3, 14.2, 7.3, 12.6), (5.9, 14.3, 7.3, 14.1)),
    "P-L4:D": ((4.9, 8.9, 5.6, 11.0), (7.8, 10.4, 7.3, 13.1), (5.7, 12.7, 6.1, 11.6), (6.0, 16.5, 6.9, 12.4)),
    "P-L5:D": ((4.6, 9.1, 5.1, 11.1), (7.7, 10.9, 7.3, 14.1), (5.7, 13.7, 6.0, 11.4), (6.1, 16.8, 6.7, 12.1)),
    "B0": ((4.4, 10.0, 4.5, 11.5), (7.9, 11.2, 7.4, 15.5), (5.8, 15.4, 5.9, 12.1), (6.3, 18.9, 6.7, 14.2)),
}


def paper_value(method: str, stem: str, metric: str) -> float:
    """A number of Table 1; NaN where the paper has none."""
    if method not in PAPER_TABLE_1 or stem not in PAPER_SOURCES or metric not in BSS_METRICS:
        return float("nan")
    return PAPER_TABLE_1[method][PAPER_SOURCES.index(stem)][BSS_METRICS.index(metric)]


def table_1(results: Results) -> str:
    """Table 1: of each stem, methods down; each metric with the paper's value and the difference."""
    sections = []
    for stem in results.stems:
        metrics = [
            metric
            for metric in BSS_METRICS
            if not all(np.isnan(results.value(method, stem, metric)) for method in results.methods)
        ]
        if not metrics:
            continue
        header = ["", "#TP", *(word for metric in metrics for word in (metric, "paper", "diff."))]
        rows = []
        for method in results.methods:
            row = [method, _millions(results.parameters(method))]
            for metric in metrics:
                ours, theirs = results.value(method, stem, metric), paper_value(method, stem, metric)
                row += [_decibels(ours), _decibels(theirs), _decibels(ours - theirs, signed=True)]
            rows.append(row)
        sections.append(f"**{stem}** ({_songs(results, stem, metrics[0])})\n\n" + markdown(header, rows))
    return "\n\n".join(sections)


def plain_table(results: Results) -> str:
    """The metrics that need no filters: methods down, stems across, one table a metric."""
    sections = []
    for metric in PLAIN_METRICS:
        stems = [
            stem
            for stem in results.stems
            if not all(np.isnan(results.value(method, stem, metric)) for method in results.methods)
        ]
        if stems:
            rows = [
                [method, *(_decibels(results.value(method, stem, metric)) for stem in stems)]
                for method in results.methods
            ]
            sections.append(f"**{metric}**\n\n" + markdown(["", *stems], rows))
    return "\n\n".join(sections)


def comparison_table(results: Results, baseline: str, metric: str) -> str:
    """Every method against one: median difference, songs on which it is better, Wilcoxon's p."""
    header = ["", *results.stems, "mean of stems"]
    rows = []
    for method in results.methods:
        if method == baseline:
            continue
        cells = []
        for stem in (*results.stems, None):
            difference = results.compare(method, baseline, stem, metric)
            if difference.songs == 0:
                cells.append("-")
                continue
            p_value = "" if np.isnan(difference.p_value) else f", p {difference.p_value:.2g}"
            cells.append(
                f"{_decibels(difference.median_db, signed=True, digits=2)} "
                f"({difference.better}/{difference.songs}{p_value})"
            )
        rows.append([method, *cells])
    return (
        f"**{metric} against {baseline}**: median difference in dB (better on / songs, Wilcoxon)\n\n"
        + markdown(header, rows)
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns line up in a terminal too; all columns but the first to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = "|" + "|".join(
        "-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths)
    )
    return "\n".join([line(cells[0]), rule + "|", *(line(row) for row in cells[1:])])


def _songs(results: Results, stem: str, metric: str) -> str:
    count = max(len(results.song_values(method, stem, metric)) for method in results.methods)
    return f"{count} song" if count == 1 else f"{count} songs"


def _millions(parameters: int) -> str:
    if parameters == 0:
        return "-"
    return f"{parameters / 1e6:.1f}M" if parameters >= 1e5 else f"{parameters / 1e6:.2f}M"


def _decibels(value: float, *, signed: bool = False, digits: int = 1) -> str:
    if np.isnan(value):
        return "-"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("+inf", "inf")
