"""Marks as a person makes them: the marks that a procedure took from the stems, made careless.

People mark the silences that they notice, not those of a quarter of a second; they set the edges by ear and
by eye, some tenths of a second off, sometimes into the sound; and they forget some. They say what is silent
and leave the rest unmarked. What this does to the method was never tested with the paper's code, which
takes its marks from the true stems to the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ugosa_server.marks import Interval, Mark, MarkSet, MarkState, without_all_silent


@dataclass(frozen=True)
class Carelessness:
    """Carelessness of the person who marks."""

    min_silence_s: float = 1.0
    """Silences shorter than this are not marked; seconds."""
    min_sound_s: float = 0.5
    """Sounds shorter than this, and than the silences around them, are not noticed; seconds."""
    jitter_s: float = 0.15
    """Standard deviation of an edge, seconds."""
    drop_share: float = 0.2
    """Probability that a silence is forgotten, 0 to 1."""


def coarse_marks(
    marks: Sequence[Mark],
    sources: Sequence[str],
    frames: int,
    sample_rate_hz: int,
    seed: int,
    how: Carelessness | None = None,
) -> tuple[Mark, ...]:
    """SILENT marks of a careless person, drawn from `seed`; sorted. Ends of the song are exact."""
    how = how or Carelessness()
    random = np.random.default_rng(seed)
    coarse: list[Mark] = []
    fine = MarkSet(tuple(marks))
    for source in sources:
        noticed = _bridged(fine.silent(source), round(how.min_sound_s * sample_rate_hz))
        for start, stop in noticed:
            # Drawn for every silence, so that one that falls away moves no other.
            forgotten = random.random() < how.drop_share
            start_shift, stop_shift = (
                round(float(shift)) for shift in random.normal(0.0, how.jitter_s * sample_rate_hz, 2)
            )
            if forgotten or stop - start < how.min_silence_s * sample_rate_hz:
                continue
            first = 0 if start == 0 else min(max(start + start_shift, 0), frames)
            last = frames if stop == frames else min(max(stop + stop_shift, 0), frames)
            if first < last:
                coarse.append(Mark(source, MarkState.SILENT, first, last))
    return without_all_silent(MarkSet(tuple(coarse)), sources).marks


def _bridged(spans: Sequence[Interval], longest_gap: int) -> list[Interval]:
    """Spans with the gaps closed that are shorter than `longest_gap` and both spans: a beat stays a beat."""
    bridged: list[Interval] = []
    for start, stop in spans:
        first, last = bridged[-1] if bridged else (start, start)
        if start - last < min(longest_gap, last - first, stop - start):
            bridged[-1] = (first, stop)
        else:
            bridged.append((start, stop))
    return bridged
