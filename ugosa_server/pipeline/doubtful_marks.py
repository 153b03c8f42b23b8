"""Warnings about marks of silence that what the network hears speaks against.

Before an adaptation, the unadapted network is asked: one wrong mark teaches the network that a sounding note
is something else, and costs more than all right ones gain. After it, the adapted network is: what still
sounds in a silence at nearly the source's own level, although it was trained to be silent there, is hardly a
leak.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ugosa_server.jobs import RunNotice
from ugosa_server.marks import Interval, MarkSet, SongLevels, clock, heard_silence, intersect, merge
from ugosa_server.marks.suggest import LOUD_PERCENTILE, SILENT_MIX_DBFS, frames_of_hops, runs, smooth_dbfs
from ugosa_server.pipeline.context import RunContext

NEAR_OWN_LEVEL_DB = 10.0  # below how loud a source is where it plays
MIN_DOUBTFUL_S = 1.0  # a shorter sound in a silence is a leak or the tail of a note, a shorter rest is none
MAX_PLACES = 4  # that one notice names of one source


def warn_of_heard_silence(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Return a notice for each source that the unadapted network hears in its marked silence."""
    heard = heard_silence(context.marks, levels)
    return [
        context.journal.notice(
            "SILENT_BUT_HEARD",
            f"{source} is marked silent, but the model hears it {_places(spans, source, levels)}; listen "
            "there: shorten the mark if the source plays, keep it if the model is wrong",
        )
        for source in context.ensemble.playing
        if (spans := heard[source])
    ]


def warn_of_doubtful_marks(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Return a notice for each source that still sounds in silence that the network has learned."""
    return [
        context.journal.notice(
            "DOUBTFUL_MARK",
            f"{source} still sounds {_places(spans, source, levels)} after learning that it is silent there, "
            "nearly as loudly as where it plays: is the mark right?",
        )
        for source in context.ensemble.playing
        if (spans := list(still_sounding(context.marks, source, levels)))
    ]


def still_sounding(marks: MarkSet, source: str, levels: SongLevels) -> Iterator[Interval]:
    """Yield stretches of a source's marked silence in which it is nearly as loud as where it plays."""
    silent = marks.silent(source)
    level = smooth_dbfs(levels.sources_dbfs[source], levels)  # [K]
    is_free = np.ones(len(level), dtype=bool)
    for span in silent:
        is_free[levels.hops_of(span)] = False
    if not silent or not is_free.any():
        return
    own_dbfs = float(np.percentile(level[is_free], LOUD_PERCENTILE))
    is_loud = level >= max(own_dbfs - NEAR_OWN_LEVEL_DB, SILENT_MIX_DBFS)
    shortest = round(MIN_DOUBTFUL_S * levels.sample_rate_hz)
    loud = [frames_of_hops(*run, levels) for run in runs(is_loud)]
    joined = merge((start, stop + shortest) for start, stop in loud)  # over shorter rests
    for start, stop in intersect([(start, stop - shortest) for start, stop in joined], silent):
        if stop - start >= shortest:
            yield start, stop


def _places(spans: list[Interval], source: str, levels: SongLevels) -> str:
    """Name the first stretches with their loudest level, and count the others."""
    rate_hz = levels.sample_rate_hz
    named = []
    for start, stop in spans[:MAX_PLACES]:
        level_dbfs = levels.loudest_dbfs(source, (start, stop))
        named.append(
            f"from {clock(start / rate_hz)} to {clock(stop / rate_hz)} (up to {level_dbfs:.1f} dBFS)"
        )
    text = ", ".join(named)
    further = len(spans) - len(named)
    return f"{text} and in {further} further {'place' if further == 1 else 'places'}" if further else text
