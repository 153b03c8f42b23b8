"""Checks of marks and of lists of instruments, before any work is done with them.

Marks are refused where they name no source of the model or no region of the song, where they contradict each
other, and where they silence every source while the mix sounds.

A model of many instruments (the Conditioned U-Net knows 13) gives stems of those that play, and `residual`.
The list decides. Without one the marks do: the instruments that they name, but for those that are silent in
the whole song. Marks that name none leave all. A model whose sources are the whole mix always gives them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

import numpy as np

from ugosa_server.audio import SourceFrames
from ugosa_server.audio.formats import SourceAudio, amplitude, peak_dbfs
from ugosa_server.errors import (
    AllSilentError,
    BadOptionError,
    BadRegionError,
    UnknownSourceError,
    did_you_mean,
)
from ugosa_server.marks.activity import fade_frames
from ugosa_server.marks.model import Interval, Mark, MarkSet, MarkState, clock, complement, intersect

MAX_SHOWN_CHARS = 100  # of a name that is no source's
UNKNOWN_SOURCE, CONTRADICTION = "UNKNOWN_SOURCE", "CONTRADICTION"  # codes of findings
SILENCE_DBFS = -90.0  # a stem is silent when its peak is no higher


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


def find_refusals(marks: Sequence[Mark], sources: Sequence[str], frames: int) -> Iterator[Finding]:
    """Yield what a job refuses marks for: faults of single ones, then contradictions of the sound ones."""
    sound: list[Mark] = []
    for mark in marks:
        refusal = _unknown_source(mark, sources) or _bad_region(mark, frames)
        if refusal is None:
            sound.append(mark)
        else:
            yield refusal
    yield from _contradictions(MarkSet(tuple(sound)), sources)


def validate_marks(marks: Sequence[Mark], sources: Sequence[str], frames: int) -> tuple[Mark, ...]:
    """Check marks against the model's sources and the song's length; join those that overlap or touch.

    Returns them sorted.

    Raises:
        UnknownSourceError: a mark names a source that the model does not have.
        BadRegionError: a mark is empty, reversed or out of the song, or two of one source contradict.
    """
    for refusal in find_refusals(marks, sources, frames):
        error = UnknownSourceError if refusal.code == UNKNOWN_SOURCE else BadRegionError
        raise error(refusal.message, source=refusal.source)
    return MarkSet(tuple(marks)).joined()


def _unknown_source(mark: Mark, sources: Sequence[str]) -> Finding | None:
    if mark.source in sources:
        return None
    name = mark.source[:MAX_SHOWN_CHARS]  # it can have millions
    near = difflib.get_close_matches(name.casefold(), sources, n=1)
    hint = f'did you mean "{near[0]}"? Its' if near else "its"
    return Finding(
        UNKNOWN_SOURCE,
        Severity.ERROR,
        f'a mark names the source "{name}", which the model does not have; {hint}'
        f" sources are {', '.join(sources)}",
        "rename it, or name a model that has this source",
        name,
        mark.span,
    )


def _bad_region(mark: Mark, frames: int) -> Finding | None:
    start, end = mark.start_frame, mark.end_frame
    if start < 0:
        problem = f"starts at frame {start}, but a song starts at frame 0"
    elif end > frames:
        problem = f"ends at frame {end}, but the song has {frames} frames"
    elif start == end:
        problem = f"is empty: it starts and ends at frame {start}"
    elif start > end:
        problem = f"is reversed: it starts at frame {start} and ends at frame {end}"
    else:
        return None
    return Finding(
        "BAD_REGION",
        Severity.ERROR,
        f"region of {mark.source} {problem}",
        f"give it a start and a later end, both between 0 and {frames}",
        mark.source,
        mark.span,
    )


def _contradictions(marks: MarkSet, sources: Sequence[str]) -> Iterator[Finding]:
    for source in sources:
        for start, stop in intersect(marks.active(source), marks.silent(source)):
            yield Finding(
                CONTRADICTION,
                Severity.ERROR,
                f"{source} is marked both active and silent in frames {start} to {stop}; shorten one of the "
                "two marks",
                "shorten one of the two marks",
                source,
                (start, stop),
            )


def validate_instruments(
    instruments: Sequence[str], sources: Sequence[str], stems: Sequence[str], model: str
) -> tuple[str, ...]:
    """Return a list of instruments in the model's order, each once.

    Args:
        instruments: of a client; empty = no list.
        sources: of the model.
        stems: of the model; more than the sources if what it leaves is a stem of its own.
        model: its name, for messages.

    Raises:
        BadOptionError: the model has no such instrument, or always gives all its sources.
    """
    if instruments and len(stems) == len(sources):
        raise BadOptionError(
            f"the model {model!r} has no choice of instruments: it always gives {', '.join(sources)}; "
            "leave the list out"
        )
    return _chosen(instruments, sources, f"the model {model!r} has no instrument", "it has")


def validate_stems(names: Sequence[str], stems: Sequence[str], model: str) -> tuple[str, ...]:
    """Return a client's choice of the stems of a model, in its order, each once; empty = no choice.

    Raises:
        BadOptionError: the model gives no such stem.
    """
    return _chosen(names, stems, f"the model {model!r} gives no stem", "it gives")


def _chosen(names: Sequence[str], known: Sequence[str], refusal: str, offer: str) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            hint = f"{did_you_mean(name.casefold(), known)} {offer} {', '.join(known)}".lstrip()
            raise BadOptionError(f"{refusal} {name!r}; {hint}")
    return tuple(name for name in known if name in names)


def playing_sources(
    instruments: Sequence[str], marks: MarkSet, sources: Sequence[str], frames: int
) -> tuple[str, ...]:
    """Return the sources that play in a song, in the model's order; `instruments` is empty without a list."""
    if instruments:
        return tuple(instruments)
    named = marks.sources
    playing = tuple(
        source for source in sources if source in named and marks.silent(source) != ((0, frames),)
    )
    return playing or tuple(sources)


def check_marks_of_absent(marks: Sequence[Mark], instruments: Sequence[str], sources: Sequence[str]) -> None:
    """Refuse a mark that says an instrument plays which the list leaves out.

    Raises:
        BadOptionError: names the instrument and both ways out.
    """
    for mark in marks:
        absent = instruments and mark.source in sources and mark.source not in instruments
        if absent and mark.state is MarkState.ACTIVE:
            raise BadOptionError(
                f"{mark.source} is marked active, but the instruments are {', '.join(instruments)}; "
                f"add {mark.source} to them, or remove the mark"
            )


def marks_of_ensemble(marks: MarkSet, playing: Sequence[str], sources: Sequence[str], frames: int) -> MarkSet:
    """Mark every source that does not play silent throughout; its own marks are left out."""
    absent = [Mark(source, MarkState.SILENT, 0, frames) for source in sources if source not in playing]
    kept = (mark for mark in marks.marks if mark.source in playing or mark.source not in sources)
    return MarkSet((*kept, *absent))


def all_silent_spans(
    marks: MarkSet, sources: Sequence[str], frames: int, sample_rate_hz: int
) -> list[Interval]:
    """Return where every source is marked silent and none is left in a fade, as sorted disjoint spans."""
    fade = fade_frames(sample_rate_hz)
    inner = (
        (start + fade - 1 if start > 0 else start, stop - fade + 1 if stop < frames else stop)
        for start, stop in _shared_silence(marks, sources)
    )
    return [(start, stop) for start, stop in inner if start < stop]


def without_all_silent(marks: MarkSet, sources: Sequence[str]) -> MarkSet:
    """Unmark the SILENT time that all sources share.

    For marks that a procedure made from levels: it calls every source silent in a soft intro, though the mix
    is heard there.
    """
    shared = _shared_silence(marks, sources)
    kept = [mark for mark in marks.marks if mark.state is not MarkState.SILENT]
    end = max((mark.end_frame for mark in marks.marks), default=0)
    for source in sources:
        spans = intersect(marks.silent(source), complement(shared, end))
        kept.extend(Mark(source, MarkState.SILENT, *span) for span in spans)
    return MarkSet(tuple(sorted(kept)))


def check_all_silent(marks: MarkSet, sources: Sequence[str], song: SourceAudio) -> None:
    """Refuse marks under which no stem may sound where the mix does. Reads only the spans in question.

    Raises:
        AllSilentError: names the first such span, its times, and the mix's level there.
    """
    for finding in find_all_silent(marks, sources, song):
        assert finding.span is not None
        start, stop = finding.span
        raise AllSilentError(
            f"{finding.message}; unmark at least one source there", start_frame=start, end_frame=stop
        )


def find_all_silent(marks: MarkSet, sources: Sequence[str], song: SourceAudio) -> Iterator[Finding]:
    """Yield the spans in which no stem may sound but the mix does."""
    spans = all_silent_spans(marks, sources, song.frames, song.sample_rate_hz)
    if not spans:
        return
    with SourceFrames(song) as frames:
        for start, stop in spans:
            peak = max(float(np.abs(block).max()) for block in frames.blocks(start, stop))
            if peak > amplitude(SILENCE_DBFS):
                yield Finding(
                    "ALL_SILENT",
                    Severity.ERROR,
                    f"all sources are marked silent from {clock(start / song.sample_rate_hz)} to "
                    f"{clock(stop / song.sample_rate_hz)}, but the mix sounds there (peak "
                    f"{peak_dbfs(peak):.1f} dBFS)",
                    "unmark the source that is heard there",
                    span=(start, stop),
                )


def _shared_silence(marks: MarkSet, sources: Sequence[str]) -> list[Interval]:
    """Spans in which all sources are marked silent."""
    return list(reduce(intersect, (list(marks.silent(source)) for source in sources)))
