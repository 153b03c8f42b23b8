"""Where each source seems to play and where it seems silent, from the levels of a network's estimates.

An estimate is never quite silent: the network leaks a little of everything into it. A source is taken to play
where its estimate is close both to how loud the source is where it plays in this song (its own loud level)
and to the mix at that moment:

    evidence = ((level - own_loud) + (level - mix)) / 2
    p(plays) = 1 / (1 + exp(-(evidence - even) / SLOPE_DB))

A leak is far below the mix; the tail of a note is far below its loud one; the mean tells played from silent
time better than either alone or the smaller of both. How much a network leaks differs from network to network
and from song to song, so `even` is where the evidence of this source in this song falls apart into two
classes (Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 1979), within bounds
for a source that plays throughout or never.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.marks.levels import SongLevels
from ugosa_server.marks.model import Interval, Mark, MarkSet, MarkState
from ugosa_server.marks.validate import without_all_silent

EVEN_BOUNDS_DB = (-16.0, -7.0)  # of the evidence at which a source is as likely to play as not
EVIDENCE_FLOOR_DB = -40.0  # digital silence must not be a class of its own
SLOPE_DB = 1.5  # from one half to 0.73
LOUD_PERCENTILE = 95.0  # of its levels: how loud a source is where it plays
SMOOTHING_S = 0.5  # a rest between two notes is not a silence to be marked
SURE = 0.75  # probability from which on something is suggested of a source that is not below
SURE_OF = {"drums": 0.75, "bass": 0.9, "other": 0.9, "vocals": 0.85}  # research/README.md has the choice
MIN_SILENT_S = 1.0
MIN_ACTIVE_S = 0.5
MAX_GAP_S = 1.0  # between two stretches that become one mark
SILENT_MARGIN_S = 0.25  # kept free at the edges of silence, where the smoothing cannot tell
SILENT_MIX_DBFS = -60.0  # a mix that is no louder says nothing of its sources


@dataclass(frozen=True, order=True)
class Suggestion:
    """A proposed mark."""

    mark: Mark
    confidence: float
    """Mean probability over the mark that it is right, 0.5 to 1."""


def suggest_marks(levels: SongLevels) -> list[Suggestion]:
    """Propose marks for every source, in the order of time; time of doubt stays unmarked."""
    probability = playing_probability(levels)
    heard = np.asarray(levels.mix_dbfs) > SILENT_MIX_DBFS
    found: list[Mark] = []
    for source, plays in probability.items():
        sure = SURE_OF.get(source, SURE)
        is_silent = _joined(plays <= 1.0 - sure, plays < 0.5, levels)
        silences = _spans(is_silent, levels, MIN_SILENT_S, SILENT_MARGIN_S)
        found += (Mark(source, MarkState.SILENT, *span) for span in silences)
        is_active = _joined((plays >= sure) & heard, plays > 0.5, levels)
        found += (Mark(source, MarkState.ACTIVE, *span) for span in _spans(is_active, levels, MIN_ACTIVE_S))
    left = without_all_silent(MarkSet(tuple(found)), tuple(probability))
    shortest = MIN_SILENT_S * levels.sample_rate_hz  # of what is left of a silence

    def confidence(mark: Mark) -> float:
        plays = float(probability[mark.source][levels.hops_of(mark.span)].mean())
        return round(plays if mark.state is MarkState.ACTIVE else 1.0 - plays, 3)

    return sorted(
        (
            Suggestion(mark, confidence(mark))
            for mark in left.marks
            if mark.state is MarkState.ACTIVE or mark.end_frame - mark.start_frame >= shortest
        ),
        key=lambda suggestion: (suggestion.mark.start_frame, suggestion.mark),
    )


def playing_probability(levels: SongLevels) -> dict[str, NDArray[np.float64]]:
    """p(plays) of each source in every hop, [K]."""
    mix = smooth_dbfs(levels.mix_dbfs, levels)
    heard = mix > SILENT_MIX_DBFS
    probability = {}
    for source, dbfs in levels.sources_dbfs.items():
        level = smooth_dbfs(dbfs, levels)
        own_loud = np.percentile(level, LOUD_PERCENTILE)
        evidence = level - (own_loud + mix) / 2.0
        even = np.clip(otsu_threshold(np.maximum(evidence[heard], EVIDENCE_FLOOR_DB)), *EVEN_BOUNDS_DB)
        probability[source] = 1.0 / (1.0 + np.exp(-(evidence - even) / SLOPE_DB))
    return probability


def otsu_threshold(values: NDArray[np.float64]) -> float:
    """Return the middle between the means of the two classes that differ most; 0 for fewer than two values.

    Of all cuts of the sorted values, the one with the largest variance between the classes,
    n_low n_high (mean_high - mean_low)^2.
    """
    n = len(values)
    if n < 2:
        return 0.0
    total = np.cumsum(np.sort(values))
    n_low = np.arange(1, n)
    low, high = total[:-1] / n_low, (total[-1] - total[:-1]) / (n - n_low)
    best = int(np.argmax(n_low * (n - n_low) * (high - low) ** 2))
    return float(low[best] + high[best]) / 2.0


def frames_of_hops(first: int, stop: int, levels: SongLevels) -> Interval:
    """The frames of hops [first, stop)."""
    return first * levels.hop_frames, min(stop * levels.hop_frames, levels.frames)


def runs(mask: NDArray[np.bool_]) -> Iterator[Interval]:
    """Where a mask is true, as intervals of its indices."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return ((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))


def _joined(sure: NDArray[np.bool_], likely: NDArray[np.bool_], levels: SongLevels) -> NDArray[np.bool_]:
    """Close the short gaps between sure stretches that are likely of the same kind."""
    joined = sure.copy()
    longest = round(MAX_GAP_S * levels.sample_rate_hz / levels.hop_frames)
    for (_, start), (stop, _) in itertools.pairwise(runs(sure)):
        if stop - start <= longest and likely[start:stop].all():
            joined[start:stop] = True
    return joined


def _spans(
    mask: NDArray[np.bool_], levels: SongLevels, min_s: float, margin_s: float = 0.0
) -> Iterator[Interval]:
    """Frames of the runs of a mask, without a margin at edges inside the song, if long enough."""
    margin = round(margin_s * levels.sample_rate_hz)
    for run in runs(mask):
        start, stop = frames_of_hops(*run, levels)
        start += margin if start > 0 else 0
        stop -= margin if stop < levels.frames else 0
        if stop - start >= min_s * levels.sample_rate_hz:
            yield start, stop


def smooth_dbfs(dbfs: tuple[float, ...], levels: SongLevels) -> NDArray[np.float64]:
    """Return the level of the mean power in a window of SMOOTHING_S around each hop, [K]."""
    power = 10.0 ** (np.asarray(dbfs) / 10.0)
    half = round(SMOOTHING_S * levels.sample_rate_hz / levels.hop_frames / 2)
    total = np.concatenate([[0.0], np.cumsum(power)])
    hops = np.arange(len(power))
    first, stop = np.maximum(hops - half, 0), np.minimum(hops + half + 1, len(power))
    mean = (total[stop] - total[first]) / (stop - first)
    smooth: NDArray[np.float64] = 10.0 * np.log10(np.maximum(mean, 1e-12))
    return smooth
