"""Everything that is wrong or doubtful with marks, found before any compute is spent.

Errors are what a job would refuse. Warnings are about marks that would be obeyed, to the harm of the stems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.marks.activity import fade_frames
from ugosa_server.marks.levels import SongLevels
from ugosa_server.marks.model import Interval, Mark, MarkSet, clock, intersect, merge
from ugosa_server.marks.suggest import (
    LOUD_PERCENTILE,
    SILENT_MIX_DBFS,
    SURE,
    frames_of_hops,
    playing_probability,
    runs,
    smooth_dbfs,
)
from ugosa_server.marks.validate import (
    CONTRADICTION,
    Finding,
    Severity,
    find_all_silent,
    find_refusals,
    playing_sources,
)

MAX_FINDINGS = 1000
THIN_S = 4.0  # of marked silence, all sources together: one training segment of the paper
MIN_HEARD_S = 0.3  # a shorter sound in a silence is a leak or a cymbal's tail
NEAR_OWN_LEVEL_DB = 10.0  # below how loud a source is where it plays
MIN_DOUBTFUL_S = 1.0  # of a sound after learning: a shorter one is a leak, and a shorter rest is none


def lint_marks(
    marks: Sequence[Mark],
    sources: Sequence[str],
    song: SourceAudio,
    levels: SongLevels | None,
    *,
    residual: Sequence[str] = (),
) -> list[Finding]:
    """Find everything: errors first, then warnings, then the rest, in the order of time.

    Of more than MAX_FINDINGS the last ones are left out, and a finding says how many.

    Args:
        marks: of a client; nothing is taken for granted.
        sources: of the model.
        song: whose samples are read only where all sources are marked silent.
        levels: of the song as the model heard it, if it has.
        residual: the stem of what the model leaves. With it, nothing is missed of a source that the marks
            leave out: it does not play.
    """
    names = (*sources, *residual)
    found = [_in_seconds(refusal, song) for refusal in find_refusals(marks, names, song.frames)]
    refused = {(f.source, f.span) for f in found if f.code != CONTRADICTION}
    sound = MarkSet(tuple(m for m in marks if m.source in names and (m.source, m.span) not in refused))
    playing = playing_sources((), sound, sources, song.frames) if residual else sources
    found += find_all_silent(sound, (*playing, *residual), song)
    found += _short_silences(sound, song)
    if not refused:  # else the marks to mend may be what seems to be missing
        found += _coverage(sound, playing, song)
    if levels is not None:
        found += _silent_but_heard(sound, names, levels)
    order = list(Severity)
    found.sort(key=lambda f: (order.index(f.severity), f.span or (0, 0), f.source, f.code))
    if len(found) <= MAX_FINDINGS:
        return found
    more = len(found) - MAX_FINDINGS
    message = f"further findings that are left out: {more}"
    return [*found[:MAX_FINDINGS], Finding("MORE_FINDINGS", Severity.INFO, message, "mend these first")]


def _short_silences(marks: MarkSet, song: SourceAudio) -> Iterator[Finding]:
    fade = fade_frames(song.sample_rate_hz)
    for source in marks.sources:
        for start, stop in marks.silent(source):
            fades = fade * ((start > 0) + (stop < song.frames))
            if stop - start < fades:
                yield Finding(
                    "SHORT_SILENCE",
                    Severity.WARNING,
                    f"the silence of {source} from {_times((start, stop), song)} is shorter than its fades "
                    f"({1000 * fades / song.sample_rate_hz:.0f} ms): the stem never gets quite silent there",
                    "lengthen it, or remove it",
                    source,
                    (start, stop),
                )


def _coverage(marks: MarkSet, sources: Sequence[str], song: SourceAudio) -> Iterator[Finding]:
    spans = {source: marks.silent(source) for source in sources}
    total_s = sum(stop - start for found in spans.values() for start, stop in found) / song.sample_rate_hz
    if total_s == 0.0:
        yield Finding(
            "NO_SILENCE",
            Severity.WARNING,
            "no source is marked silent anywhere, so there is nothing to learn: the song would be separated "
            "with the model as it is",
            "mark where an instrument does not play",
        )
        return
    if total_s < THIN_S:
        yield Finding(
            "THIN_COVERAGE",
            Severity.WARNING,
            f"{total_s:.1f} s of silence are marked, all sources together; the network has little to learn",
            f"mark {THIN_S:g} s or more; whole verses and breaks are best",
        )
    for source in (source for source in sources if not spans[source]):
        yield Finding(
            "NO_SILENCE",
            Severity.INFO,
            f"{source} is marked silent nowhere; it is learned of only through the others",
            f"mark where {source} does not play, if there is such a place",
            source,
        )


def _silent_but_heard(marks: MarkSet, sources: Sequence[str], levels: SongLevels) -> Iterator[Finding]:
    rate_hz = levels.sample_rate_hz
    for source, spans in heard_silence(marks, levels).items():
        for start, stop in spans if source in sources else ():
            yield Finding(
                "SILENT_BUT_HEARD",
                Severity.WARNING,
                f"{source} is marked silent, but the model hears it from {clock(start / rate_hz)} to "
                f"{clock(stop / rate_hz)} (up to {levels.loudest_dbfs(source, (start, stop)):.1f} dBFS)",
                "listen there: shorten the mark if the source plays, keep it if the model is wrong",
                source,
                (start, stop),
            )


def heard_silence(marks: MarkSet, levels: SongLevels) -> dict[str, list[Interval]]:
    """Return the stretches of each source's marked silence in which the unadapted model takes it to play."""
    shortest = MIN_HEARD_S * levels.sample_rate_hz
    found = {}
    for source, plays in playing_probability(levels).items():
        heard = merge(frames_of_hops(*run, levels) for run in runs(plays >= SURE))
        spans = intersect(heard, marks.silent(source))
        found[source] = [(start, stop) for start, stop in spans if stop - start >= shortest]
    return found


def still_sounding(marks: MarkSet, source: str, levels: SongLevels) -> Iterator[Interval]:
    """Yield stretches of a source's marked silence in which it is nearly as loud as where it plays.

    After the network was trained to be silent there, that is hardly a leak: the mark may be wrong.
    """
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


def _in_seconds(refusal: Finding, song: SourceAudio) -> Finding:
    """Return a refusal with the place of a contradiction in seconds."""
    if refusal.code != CONTRADICTION or refusal.span is None:
        return refusal
    message = f"{refusal.source} is marked both active and silent from {_times(refusal.span, song)}"
    return replace(refusal, message=message)


def _times(span: Interval, song: SourceAudio) -> str:
    return f"{span[0] / song.sample_rate_hz:.3f} s to {span[1] / song.sample_rate_hz:.3f} s"
