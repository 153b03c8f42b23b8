"""Everything that is wrong or doubtful with marks, found before any compute is spent.

Errors are what a job would refuse. Warnings are about marks that would be obeyed, to the harm of the stems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ugosa_server.audio.formats import SourceAudio, peak_dbfs
from ugosa_server.marks.activity import fade_frames
from ugosa_server.marks.levels import SongLevels
from ugosa_server.marks.model import Interval, Mark, MarkSet, clock, intersect, merge
from ugosa_server.marks.suggest import SURE, frames_of_hops, playing_probability, runs
from ugosa_server.marks.validate import Fault, Refusal, find_refusals, playing_sources, sounding_all_silent

MAX_FINDINGS = 1000
THIN_S = 4.0  # of marked silence, all sources together: one training segment of the paper
MIN_HEARD_S = 0.3  # a shorter sound in a silence is a leak or a cymbal's tail


class Severity(StrEnum):
    """Weight of a finding; findings come in this order."""

    ERROR = "error"
    """A job would refuse the marks."""
    WARNING = "warning"
    """The marks would be obeyed, and the stems may suffer."""
    INFO = "info"
    """Worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    code: str
    """Stable word, for example "CONTRADICTION"."""
    severity: Severity
    message: str
    fix: str
    source: str = ""
    """Empty if it is about none in particular."""
    span: Interval | None = None
    """Where in the song, in frames; None if it is about no place."""


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
    refusals = list(find_refusals(marks, names, song.frames))
    found = [_of_refusal(refusal, song) for refusal in refusals]
    refused = {(r.source, r.span) for r in refusals if r.fault is not Fault.CONTRADICTION}
    known = [m for m in marks if m.source in names]
    sound = MarkSet(tuple(m for m in known if (m.source, (m.start_frame, m.end_frame)) not in refused))
    playing = playing_sources((), sound, sources, song.frames) if residual else sources
    found += _all_silent(sound, (*playing, *residual), song)
    found += _short_silences(sound, song)
    found += _coverage(sound, playing, song)
    if levels is not None:
        found += silent_but_heard(sound, names, levels)
    order = list(Severity)
    found.sort(key=lambda f: (order.index(f.severity), f.span or (0, 0), f.source, f.code))
    if len(found) <= MAX_FINDINGS:
        return found
    more = len(found) - MAX_FINDINGS
    message = f"there are {more} further findings, which are left out"
    return [*found[:MAX_FINDINGS], Finding("MORE_FINDINGS", Severity.INFO, message, "mend these first")]


FIXES = {
    Fault.UNKNOWN_SOURCE: "rename it, or name a model that has this source",
    Fault.BAD_REGION: "give it a start and a later end, both between 0 and {frames}",
    Fault.CONTRADICTION: "shorten one of the two marks",
}


def _of_refusal(refusal: Refusal, song: SourceAudio) -> Finding:
    message = refusal.message
    if refusal.fault is Fault.CONTRADICTION:
        message = f"{refusal.source} is marked both active and silent from {_times(refusal.span, song)}"
    fix = FIXES[refusal.fault].format(frames=song.frames)
    return Finding(refusal.fault.value, Severity.ERROR, message, fix, refusal.source, refusal.span)


def _all_silent(marks: MarkSet, sources: Sequence[str], song: SourceAudio) -> Iterator[Finding]:
    for start, stop, peak in sounding_all_silent(marks, sources, song):
        yield Finding(
            "ALL_SILENT",
            Severity.ERROR,
            f"all sources are marked silent from {clock(start / song.sample_rate_hz)} to "
            f"{clock(stop / song.sample_rate_hz)}, but the mix sounds there "
            f"(peak {peak_dbfs(peak):.1f} dBFS)",
            "unmark the source that is heard there",
            span=(start, stop),
        )


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


def silent_but_heard(marks: MarkSet, sources: Sequence[str], levels: SongLevels) -> Iterator[Finding]:
    """Yield a warning for each stretch of marked silence in which the model takes the source to play.

    Args:
        marks: sound ones.
        sources: of the model; marks of others are passed over.
        levels: of the song as the unadapted model heard it.
    """
    rate = levels.sample_rate_hz
    for source, plays in playing_probability(levels).items():
        if source not in sources:
            continue
        heard = merge(frames_of_hops(*run, levels) for run in runs(plays >= SURE))
        for start, stop in intersect(heard, marks.silent(source)):
            if stop - start < MIN_HEARD_S * rate:
                continue
            hops = slice(start // levels.hop_frames, -(-stop // levels.hop_frames))
            level_db = float(np.max(levels.sources_dbfs[source][hops]))
            yield Finding(
                "SILENT_BUT_HEARD",
                Severity.WARNING,
                f"{source} is marked silent, but the model hears it from {clock(start / rate)} to "
                f"{clock(stop / rate)} (up to {level_db:.1f} dBFS)",
                "listen there: shorten the mark if the source plays, keep it if the model is wrong",
                source,
                (start, stop),
            )


def _times(span: Interval, song: SourceAudio) -> str:
    return f"{span[0] / song.sample_rate_hz:.3f} s to {span[1] / song.sample_rate_hz:.3f} s"
