"""All metrics of one separated song, window by window, and their medians.

A window in which a single stem sounds has no ratio: there is nothing to separate, and where marks silence all
others, every method is perfect there. PES and EPS count in all windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_research.evaluation.bss_eval import BssReference, BssScores
from ugosa_research.evaluation.museval_metrics import score_with_museval
from ugosa_research.evaluation.plain_metrics import eps_db, pes_db, sd_sdr_db, sdr_db, si_sdr_db
from ugosa_research.evaluation.windows import Windows, median

Array = NDArray[np.float64]
BSS_METRICS = ("SDR", "SIR", "SAR", "ISR")
ENERGIES = ("PES", "EPS")
PLAIN_METRICS = ("plain SDR", "SI-SDR", "SD-SDR", *ENERGIES)
PLAIN = {"plain SDR": sdr_db, "SI-SDR": si_sdr_db, "SD-SDR": sd_sdr_db, "PES": pes_db, "EPS": eps_db}
BSS_ENGINES = ("own", "museval", "none")

ScoresByStem = Mapping[str, Mapping[str, Array]]
"""Stem -> metric -> values by window, `[W]`."""


@dataclass(frozen=True)
class ScoringOptions:
    """Windows and metrics of a score."""

    windows: Windows
    """Windows of the song."""
    bss_eval: str = "own"
    """own = every source that sounds in a window counts there; museval = its rules; none = none."""


class SongScorer:
    """Judges the results of any number of methods on one song."""

    def __init__(
        self, names: Sequence[str], stems: Array, sample_rate_hz: int, options: ScoringOptions
    ) -> None:
        """Take the true stems `[S, T, C]`, in the order of their names."""
        self._names, self._stems, self._options = names, stems, options
        self._slices = list(options.windows.slices(stems.shape[1], sample_rate_hz))
        self._window = round(options.windows.window_s * sample_rate_hz)
        self._hop = round(options.windows.hop_s * sample_rate_hz)
        sounding = np.array([stems[:, window].any(axis=(1, 2)).sum() for window in self._slices])
        self._alone = sounding < 2  # [W]
        self._reference = BssReference(stems) if options.bss_eval == "own" else None

    def score(self, estimates: Array) -> ScoresByStem:
        """Judge estimates `[S, T, C]`."""
        bss = self._bss(estimates)
        scores: dict[str, dict[str, Array]] = {}
        for row, name in enumerate(self._names):
            of_stem = {}
            if bss is not None:
                of_stem = dict(
                    zip(BSS_METRICS, (bss.sdr[row], bss.sir[row], bss.sar[row], bss.isr[row]), strict=True)
                )
            for metric in PLAIN_METRICS:
                of_stem[metric] = np.array(
                    [
                        PLAIN[metric](self._stems[row, window], estimates[row, window])
                        for window in self._slices
                    ]
                )
            scores[name] = {
                metric: values if metric in ENERGIES else np.where(self._alone, np.nan, values)
                for metric, values in of_stem.items()
            }
        return scores

    def _bss(self, estimates: Array) -> BssScores | None:
        if self._reference is not None:
            return self._reference.score(estimates, self._slices)
        if self._options.bss_eval == "museval":
            return score_with_museval(self._stems, estimates, self._window, self._hop)
        return None


def medians(scores: ScoresByStem) -> dict[str, dict[str, float]]:
    """Median over windows, of each stem and metric; NaN where no window counts."""
    return {
        stem: {metric: median(np.asarray(values)) for metric, values in metrics.items()}
        for stem, metrics in scores.items()
    }
