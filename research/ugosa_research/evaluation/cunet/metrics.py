"""The metrics of Slizovskaia et al. (section 4.2) on one segment: SI-SDR, SD-SDR, PES, EPS, SDR, SIR, SAR.

With t the truth, p the prediction, e = 1e-8 and alpha = <p, t> / (|t|^2 + e), as the authors' code has them:

    SI-SDR = 10 log10(|alpha t|^2 / (|alpha t - p|^2 + e) + e)    where the truth sounds
    SD-SDR = 10 log10(|alpha t|^2 / (|t - p|^2 + e) + e)          where the truth sounds
    PES    = 10 log10(|p|^2 + e)    where the truth is exactly silent and the prediction is not
    EPS    = 10 log10(|t|^2 + e)    where the prediction is exactly silent and the truth is not

Unlike `plain_metrics` these have a floor of -80 dB, which is what a silent prediction of a sounding source
gets; the paper's large deviations come from it. A silent prediction of a silent source counts nowhere. SDR,
SIR and SAR are BSS Eval v4's (`bss_eval`) with the segment as the song, of the sources that sound; the paper
has version 3, whose SDR forgives what a filter of 512 taps can mend.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ugosa_research.evaluation.bss_eval import BssReference

EPS = 1e-8
METRICS = ("SI-SDR", "SD-SDR", "PES", "EPS", "SDR", "SIR", "SAR")

Array = NDArray[np.float64]


def si_sdr_db(truth: Array, prediction: Array) -> float:
    """Scale-invariant SDR with the floor: [T] twice."""
    scaled = _scaled(truth, prediction)
    return _ratio_db(_energy(scaled), _energy(scaled - prediction))


def sd_sdr_db(truth: Array, prediction: Array) -> float:
    """Scale-dependent SDR with the floor: [T] twice."""
    return _ratio_db(_energy(_scaled(truth, prediction)), _energy(truth - prediction))


def energy_db(signal: Array) -> float:
    """10 log10(|x|^2 + e): PES of a prediction, EPS of a truth."""
    return float(10 * np.log10(_energy(signal) + EPS))


def segment_scores(
    truths: Array, predictions: Array, reference: BssReference | None
) -> dict[str, list[float]]:
    """Every metric's values in one segment.

    Args:
        truths: [K, T].
        predictions: [K, T].
        reference: of the truths that sound, [S, T, 1]; None leaves SDR, SIR and SAR out.
    """
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for truth, prediction in zip(truths, predictions, strict=True):
        if truth.any():
            values["SI-SDR"].append(si_sdr_db(truth, prediction))
            values["SD-SDR"].append(sd_sdr_db(truth, prediction))
            if not prediction.any():
                values["EPS"].append(energy_db(truth))
        elif prediction.any():
            values["PES"].append(energy_db(prediction))
    if reference is not None:
        sounding = truths.any(axis=-1)
        whole = [slice(0, truths.shape[1])]
        scores = reference.score(np.ascontiguousarray(predictions[sounding][:, :, None]), whole)
        for metric, found in (("SDR", scores.sdr), ("SIR", scores.sir), ("SAR", scores.sar)):
            values[metric] = [float(value) for value in found.ravel() if np.isfinite(value)]
    return values


def _scaled(truth: Array, prediction: Array) -> Array:
    return float(np.vdot(prediction, truth)) / (_energy(truth) + EPS) * truth


def _energy(signal: Array) -> float:
    return float(np.vdot(signal, signal))


def _ratio_db(signal: float, error: float) -> float:
    return float(10 * np.log10(signal / (error + EPS) + EPS))
