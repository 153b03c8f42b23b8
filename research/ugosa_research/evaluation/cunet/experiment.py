"""Score systems on pieces, segment by segment, and keep the figures (`evaluate cunet`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ugosa_research.evaluation.bss_eval import BssReference
from ugosa_research.evaluation.cunet.metrics import METRICS, segment_scores
from ugosa_research.evaluation.cunet.systems import Segment, System, level_gain
from ugosa_research.evaluation.urmp import UrmpPiece, labels_of, read_checked, video_of
from ugosa_research.training.cunet.solos import window_starts
from ugosa_server.errors import ConfigError
from ugosa_server.files import replacing
from ugosa_server.models.cunet.config import WINDOW_SAMPLES


@dataclass(frozen=True)
class Figure:
    """Mean and standard deviation over segments and sources, as in the paper."""

    mean: float
    """NaN of no values."""
    deviation: float
    values: int
    """Number of values that count."""


@dataclass(frozen=True)
class SystemFigures:
    """One system on all pieces."""

    system: str
    figures: dict[str, Figure]
    """By metric."""


@dataclass(frozen=True)
class PieceDone:
    """All systems have been scored on one more piece."""

    piece: str
    done: int
    of: int
    segments: int


class CunetScores:
    """Values of all systems and metrics, collected piece by piece."""

    def __init__(self, systems: Sequence[System]) -> None:
        self._values: dict[str, dict[str, list[float]]] = {
            system.name: {metric: [] for metric in METRICS} for system in systems
        }

    def add(self, system: str, values: dict[str, list[float]]) -> None:
        """Take one segment's values."""
        for metric, found in values.items():
            self._values[system][metric] += found

    def figures(self) -> list[SystemFigures]:
        """Means and deviations, in the order of the systems."""
        return [
            SystemFigures(system, {metric: _figure(values) for metric, values in by_metric.items()})
            for system, by_metric in self._values.items()
        ]


def score_pieces(
    pieces: Sequence[UrmpPiece],
    systems: Sequence[System],
    classes: Sequence[str],
    scores: CunetScores,
    *,
    with_bss: bool = True,
) -> Iterator[PieceDone]:
    """Score all systems on all whole segments of all pieces into `scores`.

    Raises:
        ConfigError: a piece is not what its names say, or shorter than a segment.
    """
    for done, (piece, audio) in enumerate(read_checked(pieces, classes), start=1):
        starts = window_starts(len(audio.mix))
        if not starts:
            raise ConfigError(f"{piece.name} is shorter than a segment of {WINDOW_SAMPLES} samples")
        labels, gain, video = labels_of(piece, classes), level_gain(audio.mix), video_of(piece)
        for start in starts:
            window = slice(start, start + WINDOW_SAMPLES)
            truths = audio.sources[:, window]
            segment = Segment(audio.mix[window], truths, labels, gain, start, video)
            sounding = truths.any(axis=-1)
            if not sounding.any():
                continue
            reference = BssReference(truths[sounding][:, :, None]) if with_bss else None
            for system in systems:
                predictions = system.predict(segment)
                scores.add(system.name, segment_scores(truths, predictions, reference))
        yield PieceDone(piece.name, done, len(pieces), len(starts))


def write_figures_json(path: Path, figures: Sequence[SystemFigures], about: dict[str, object]) -> None:
    """Keep figures as data, with what they are of."""
    content = about | {
        "systems": {
            entry.system: {
                metric: {"mean": figure.mean, "std": figure.deviation, "values": figure.values}
                for metric, figure in entry.figures.items()
                if figure.values
            }
            for entry in figures
        }
    }
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def _figure(values: list[float]) -> Figure:
    if not values:
        return Figure(float("nan"), float("nan"), 0)
    return Figure(float(np.mean(values)), float(np.std(values)), len(values))
