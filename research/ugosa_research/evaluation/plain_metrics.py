"""Metrics of one estimate against one true signal that need no filters: SDR, SI-SDR, SD-SDR, PES, EPS.

Signals are `[T, C]`; a stereo signal is one vector of all its samples, so one gain alpha serves both
channels. With t the truth, s the estimate and alpha = <s, t> / |t|^2:

    SDR    = 10 log10(|t|^2 / |t - s|^2)
    SI-SDR = 10 log10(|alpha t|^2 / |alpha t - s|^2)    a change of level costs nothing
    SD-SDR = 10 log10(|alpha t|^2 / |t - s|^2)          a change of level costs, and more when it is lower
    PES    = 10 log10(|s|^2 + eps)   where the truth is exactly silent: energy that is predicted at silence
    EPS    = 10 log10(|t|^2 + eps)   where the estimate is exactly silent and the truth is not

SI-SDR and SD-SDR: Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019. PES and EPS: Schulze-
Forster et al., "Weakly informed audio source separation", WASPAA 2019, as in Slizovskaia et al.,
"Conditioned source separation for musical instrument performances", section 4.2. Higher is better for the
first three, lower for PES and EPS. NaN says that a metric does not apply: the first three to silence, PES
to sound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPS = 1e-8  # bounds PES and EPS below at -80 dB

Signal = NDArray[np.float64]


def sdr_db(truth: Signal, estimate: Signal) -> float:
    """Signal-to-distortion ratio; infinite for a perfect estimate."""
    return _ratio_db(_energy(truth), _energy(truth - estimate))


def si_sdr_db(truth: Signal, estimate: Signal) -> float:
    """Scale-invariant SDR."""
    scaled = _scale(truth, estimate) * truth
    return _ratio_db(_energy(scaled), _energy(scaled - estimate))


def sd_sdr_db(truth: Signal, estimate: Signal) -> float:
    """Scale-dependent SDR."""
    return _ratio_db(_energy(_scale(truth, estimate) * truth), _energy(truth - estimate))


def pes_db(truth: Signal, estimate: Signal) -> float:
    """Predicted energy at silence; NaN where the truth sounds."""
    return float("nan") if truth.any() else float(10.0 * np.log10(_energy(estimate) + EPS))


def eps_db(truth: Signal, estimate: Signal) -> float:
    """Energy at predicted silence; NaN where the estimate sounds, and where the truth is silent too."""
    if estimate.any() or not truth.any():
        return float("nan")
    return float(10.0 * np.log10(_energy(truth) + EPS))


def _scale(truth: Signal, estimate: Signal) -> float:
    energy = _energy(truth)
    return float(np.vdot(truth, estimate)) / energy if energy > 0.0 else 0.0


def _energy(signal: Signal) -> float:
    return float(np.vdot(signal, signal))


def _ratio_db(signal: float, error: float) -> float:
    """NaN for an estimate or a truth of nothing (0 / error is no separation to judge)."""
    if signal == 0.0:
        return float("nan")
    return float("inf") if error == 0.0 else float(10.0 * np.log10(signal / error))
