"""Results of an experiment: medians of each song and over songs, and whether methods differ.

A song has one number for a metric of a stem, the median over its windows; a method has the median of these
over the songs, as in SiSEC and in the paper. Whether two methods differ is asked with the Wilcoxon signed-
rank test on the songs' numbers, which is exact for few songs; with fewer than 6 its two-sided p cannot go
below 0.05, whatever they are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from ugosa_research.evaluation.song_scores import BSS_METRICS, PLAIN_METRICS
from ugosa_research.evaluation.windows import median
from ugosa_server.adaptation.strategies import ALL_STRATEGIES
from ugosa_server.errors import BadAudioError

SCORES_DIR = "scores"
METRICS = (*BSS_METRICS, *PLAIN_METRICS)


@dataclass(frozen=True)
class RunScores:
    """One method on one song."""

    song: str
    """Name of the song."""
    method: str
    """Name of the method."""
    strategy: str
    """Strategy of the method."""
    changes: dict[str, float]
    """Options of the method."""
    trainable_parameters: int
    """Number of trained parameters."""
    medians: dict[tuple[str, str], float]
    """(stem, metric) -> median over windows; NaN where none counts."""
    kept_epoch: int | None = None
    """Epoch that the guard kept, 0 = the base; None = no guard, or too little silence for one."""


@dataclass(frozen=True)
class Difference:
    """Two methods compared on the songs that both have."""

    songs: int
    """Number of songs that count."""
    median_db: float
    """Median of the songs' differences, first minus second."""
    better: int
    """Songs on which the first has the higher value."""
    p_value: float
    """Two-sided Wilcoxon signed-rank; NaN when all differences are 0 or there is no song."""


class Results:
    """All scores of one experiment."""

    def __init__(self, runs: Sequence[RunScores]) -> None:
        """Take the runs, in any order. Of songs that some method has not done, none counts."""
        every = {run.method for run in runs}
        done: dict[str, set[str]] = {}
        for run in runs:
            done.setdefault(run.song, set()).add(run.method)
        self.runs = [run for run in runs if done[run.song] == every]
        self.left_out = sorted(song for song, methods in done.items() if methods != every)

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the paper's table: P, B, B0; by depth, then by options."""
        order = [str(strategy) for strategy in ALL_STRATEGIES]
        keys = {run.method: (order.index(run.strategy), sorted(run.changes.items())) for run in self.runs}
        return sorted(keys, key=lambda method: keys[method])

    @cached_property
    def stems(self) -> list[str]:
        """Names of stems, those of the paper's table first."""
        names = {stem for run in self.runs for stem, _ in run.medians}
        first = [name for name in ("other", "bass", "drums", "vocals") if name in names]
        return first + sorted(names - set(first))

    def parameters(self, method: str) -> int:
        """Trainable parameters of a method."""
        return next(run.trainable_parameters for run in self.runs if run.method == method)

    def song_values(self, method: str, stem: str, metric: str) -> dict[str, float]:
        """Song -> median over windows, of the songs that have one."""
        return {
            run.song: run.medians[stem, metric]
            for run in self.runs
            if run.method == method and not np.isnan(run.medians.get((stem, metric), np.nan))
        }

    def value(self, method: str, stem: str, metric: str) -> float:
        """Median over songs; NaN of none."""
        return median(np.array(list(self.song_values(method, stem, metric).values())))

    def mean_over_stems(self, method: str, metric: str) -> dict[str, float]:
        """Song -> mean over its stems."""
        return self._by_song(method, None, metric)

    def compare(self, method: str, other: str, stem: str | None, metric: str) -> Difference:
        """Compare two methods on one stem, or on the mean over a song's stems (stem = None)."""
        first, second = self._by_song(method, stem, metric), self._by_song(other, stem, metric)
        songs = [song for song in first if song in second]
        differences = np.array([first[song] - second[song] for song in songs])
        differences = differences[np.isfinite(differences)]
        p_value = float("nan")
        if differences.any():
            p_value = float(scipy.stats.wilcoxon(differences).pvalue)
        return Difference(len(differences), median(differences), int((differences > 0).sum()), p_value)

    def _by_song(self, method: str, stem: str | None, metric: str) -> dict[str, float]:
        if stem is not None:
            return self.song_values(method, stem, metric)
        values: dict[str, list[float]] = {}
        for name in self.stems:
            for song, value in self.song_values(method, name, metric).items():
                values.setdefault(song, []).append(value)
        return {song: float(np.mean(of_song)) for song, of_song in values.items()}


def read_results(out: Path) -> Results:
    """Read every score in the folder of an experiment.

    Raises:
        BadAudioError: there are none, or a file is damaged.
    """
    paths = sorted((out / SCORES_DIR).glob("*/*.json"))
    if not paths:
        raise BadAudioError(f"{out} holds no scores; make them with `ugosa-server evaluate run --out {out}`")
    return Results([_read_run(path) for path in paths])


def _read_run(path: Path) -> RunScores:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        medians = {
            (stem, metric): median(_floats(values))
            for stem, metrics in document["scores"].items()
            for metric, values in metrics.items()
        }
        return RunScores(
            song=document["song"],
            method=document["method"],
            strategy=document["strategy"],
            changes=document["changes"],
            trainable_parameters=document["trainable_parameters"],
            medians=medians,
            kept_epoch=_kept_epoch(document.get("verdict")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadAudioError(f"{path} holds no scores: {error!r}; delete it and run again") from error


def _kept_epoch(verdict: dict[str, Any] | None) -> int | None:
    return verdict["kept_epoch"] if verdict is not None and verdict["sources"] else None


def _floats(values: Sequence[float | str | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in values])


def write_csv(results: Results, path: Path) -> None:
    """One line a song, method and stem: the medians over windows, in dB; empty where none counts."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["song", "method", "stem", *METRICS])
        for method in results.methods:
            for run in results.runs:
                if run.method != method:
                    continue
                for stem in results.stems:
                    values = [run.medians.get((stem, metric), float("nan")) for metric in METRICS]
                    if not np.isnan(values).all():
                        cells = ["" if np.isnan(value) else f"{value:.3f}" for value in values]
                        writer.writerow([run.song, method, stem, *cells])


def write_json(results: Results, path: Path) -> None:
    """Medians over songs, with the number of songs that count, by method, stem and metric."""
    document = {
        method: {
            "trainable_parameters": results.parameters(method),
            "stems": {
                stem: {
                    metric: {
                        "median_db": round(value, 3),
                        "songs": len(results.song_values(method, stem, metric)),
                    }
                    for metric in METRICS
                    if np.isfinite(value := results.value(method, stem, metric))
                }
                for stem in results.stems
            },
        }
        for method in results.methods
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
