"""Score of an adaptation, from what the guard has measured of the base and of an epoch.

With e the power of the error of q on remixes and E that of q there, r that of the error of the others' sum, p
the power of q's estimate where it surely plays, m that of the mix there, l and n the same two on held-back
silence, and 0 for the base:

    taken = (p_0 - p) / p_0,    spared = `COMPANY` (l_0 - l) / n (m - p_0) / p_0
    harm = `HARM_WEIGHT` max(0, taken - spared - `HARM_TOLERANCE`)
    gain of q          = 10 log10( e_0 / min(max(E, e), e + harm E) ) dB
    gain of the others = 10 log10( r_0 / (r + harm E) ) dB
    score = mean of both over the sources of a piece, then over the pieces, a loss g as tanh(g / 1 dB) dB

Sources of which the same silence is held back are one piece of evidence, and count as one: where only a
guitar plays, what it does to bass, drums and vocals is measured three times in one place.

What is spared is the leakage that q may lose where it plays: as much, relative to the other sources, as it
lost in its silence, times `COMPANY`: where a source plays, more of the others leaks into it. No source can
lose more than all of itself, hence the E. Where q is no more than `UNHEARD_SHARE` of the mix it plays nowhere
for sure, and nothing can be said of harm.

A network that learns that q plays nowhere, or takes from q what the base was not sure of, does well on
leakage, and even on remixes, whose q is what the base made of it; the harm shows it. It is a guess, so no
single loss counts for more than 1 dB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

HARM_WEIGHT = 2.0  # this and COMPANY were chosen on songs with known stems, research/README.md
HARM_TOLERANCE = 0.02  # of the power of a source
COMPANY = 5.0  # of the power that leaks into a source where it plays to that where it rests
UNHEARD_SHARE = 0.01  # of the power of the mix
INAUDIBLE_SHARE = 1e-9  # of it
TINY_POWER = 1e-12  # at the scale of the network, where a song has a power of 1


@dataclass(frozen=True)
class SourceFigures:
    """Measurements of one source after one epoch; powers are mean squares at the network's scale."""

    leakage: float
    """Power of the estimate on held-back silence."""
    silence_power: float
    """Power of the mix there."""
    own_error: float
    """Power of the error of the source on remixes of held-back stretches; nan without any."""
    own_power: float
    """Power of the source there."""
    rest_error: float
    """Power of the error of the sum of the others there."""
    sure_power: float
    """Power of the estimate where the source surely plays; nan where that is nowhere."""
    sure_mix_power: float
    """Power of the mix there."""


Figures = Mapping[str, SourceFigures]
"""By source."""


def remixes_db(base: Figures, after: Figures) -> float | None:
    """Gain on remixes, the mean over sources and others; None where there were none."""
    gains = [
        ratio_db(before, now)
        for name, row in base.items()
        for before, now in ((row.own_error, after[name].own_error), (row.rest_error, after[name].rest_error))
        if not math.isnan(before)
    ]
    return float(np.mean(gains)) if gains else None


def score_db(base: Figures, after: Figures, pieces: Sequence[Sequence[str]]) -> float:
    """Score an adaptation by the docstring of this file; below 0 = it makes the sources worse."""
    scores = []
    for piece in pieces:
        gains = [gain for name in piece for gain in _gains_db(base[name], after[name])]
        if gains:
            scores.append(np.mean([gain if gain > 0 else math.tanh(gain) for gain in gains]))
    return float(np.mean(scores)) if scores else 0.0


def _gains_db(base: SourceFigures, after: SourceFigures) -> tuple[float, ...]:
    """Gains of a source and of the others; without remixes, that of a source that plays nowhere, or none."""
    if math.isnan(base.own_error):
        return (ratio_db(base.leakage, after.leakage),) if math.isnan(base.sure_power) else ()
    harm = 0.0
    if base.sure_power > UNHEARD_SHARE * base.sure_mix_power:
        taken = (base.sure_power - after.sure_power) / base.sure_power
        others = max(0.0, base.sure_mix_power - base.sure_power) / base.sure_power
        spared = (
            COMPANY * max(0.0, base.leakage - after.leakage) / max(base.silence_power, TINY_POWER) * others
        )
        harm = HARM_WEIGHT * max(0.0, taken - spared - HARM_TOLERANCE) * base.own_power
    own_error = min(max(base.own_power, after.own_error), after.own_error + harm)
    return ratio_db(base.own_error, own_error), ratio_db(base.rest_error, after.rest_error + harm)


def ratio_db(before: float, after: float) -> float:
    """Ratio of two powers in dB, a number even where one is 0."""
    return 10 * math.log10((before + TINY_POWER) / (after + TINY_POWER))


def leakage_change_db(base: Figures, after: Figures) -> float:
    """Change of the leakage, the mean over the sources."""
    changes = []
    for name, row in base.items():
        least = INAUDIBLE_SHARE * row.silence_power
        changes.append(ratio_db(max(after[name].leakage, least), max(row.leakage, least)))
    return float(np.mean(changes))
