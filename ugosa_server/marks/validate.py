"""Which of a model's instruments play in a song, said in a list or by the marks.

A model of many instruments (the Conditioned U-Net knows 13) gives stems of those that play, and `residual`.
The list decides. Without one the marks do: the instruments that they name, but for those that are silent in
the whole song. Marks that name none leave all. A model whose sources are the whole mix always gives them all.

Marks that say "nothing plays" where the mix sounds: told before any compute is spent.

What a set of marks must be before any work is done with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np

from ugosa_server.audio.formats import SourceAudio, amplitude, peak_dbfs
from ugosa_server.audio.frames import open_frames
from ugosa_server.errors import AllSilentError, BadOptionError, BadRegionError, UnknownSourceError
from ugosa_server.marks.activity import fade_frames, silent_spans
from ugosa_server.marks.model import Interval, Mark, MarkState, complement, intersect


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
    for name in instruments:
        if name not in sources:
            near = difflib.get_close_matches(name.casefold(), sources, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise BadOptionError(
                f"the model {model!r} has no instrument {name!r}; {hint}it has {', '.join(sources)}"
            )
    return tuple(source for source in sources if source in instruments)


def playing_sources(
    instruments: Sequence[str], marks: Sequence[Mark], sources: Sequence[str], frames: int
) -> tuple[str, ...]:
    """The sources that play in a song of `frames` frames, in the model's order.

    Args:
        instruments: validated; empty = no list.
        marks: validated.
        sources: of the model.
        frames: of the song.
    """
    if instruments:
        return tuple(instruments)
    named = {mark.source for mark in marks}
    playing = tuple(
        source for source in sources if source in named and silent_spans(marks, source) != [(0, frames)]
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


def marks_of_ensemble(
    marks: Sequence[Mark], playing: Sequence[str], sources: Sequence[str], frames: int
) -> tuple[Mark, ...]:
    """The marks, with every source that does not play silent throughout."""
    absent = [Mark(source, MarkState.SILENT, 0, frames) for source in sources if source not in playing]
    return (*(mark for mark in marks if mark.source in playing or mark.source not in sources), *absent)


SILENCE_DBFS = -90.0  # a stem is silent when its peak is no higher


def all_silent_spans(
    marks: Sequence[Mark], sources: Sequence[str], frames: int, sample_rate_hz: int
) -> list[Interval]:
    """Where every source is marked silent and none is left in a fade, as sorted disjoint spans."""
    spans = reduce(intersect, (silent_spans(marks, source) for source in sources))
    fade = fade_frames(sample_rate_hz)
    inner = (
        (start + fade - 1 if start > 0 else start, stop - fade + 1 if stop < frames else stop)
        for start, stop in spans
    )
    return [(start, stop) for start, stop in inner if start < stop]


def without_all_silent(marks: Sequence[Mark], sources: Sequence[str]) -> tuple[Mark, ...]:
    """The marks without the SILENT time that all sources share, which becomes unmarked.

    For marks that a procedure made from levels: it calls every source silent in a soft intro, though the mix
    is heard there.
    """
    shared = reduce(intersect, (silent_spans(marks, source) for source in sources))
    kept = [mark for mark in marks if mark.state is not MarkState.SILENT]
    end = max((mark.end_frame for mark in marks), default=0)
    for source in sources:
        spans = intersect(silent_spans(marks, source), complement(shared, end))
        kept.extend(Mark(source, MarkState.SILENT, *span) for span in spans)
    return tuple(sorted(kept))


def check_all_silent(marks: Sequence[Mark], sources: Sequence[str], source: SourceAudio) -> None:
    """Refuse marks under which no stem may sound where the mix does. Reads only the spans in question.

    Raises:
        AllSilentError: names the first such span, its times, and the mix's level there.
    """
    for start, stop, peak in sounding_all_silent(marks, sources, source):
        raise AllSilentError(
            f"all sources are marked silent from {start / source.sample_rate_hz:.3f} s to "
            f"{stop / source.sample_rate_hz:.3f} s (frames {start} to {stop}), but the mix sounds"
            f" there (peak {peak_dbfs(peak):.1f} dBFS); unmark at least one source there",
            start_frame=start,
            end_frame=stop,
        )


def sounding_all_silent(
    marks: Sequence[Mark], sources: Sequence[str], source: SourceAudio
) -> Iterator[tuple[int, int, float]]:
    """Yield (start, stop, peak of the mix) of spans in which no stem may sound but the mix does."""
    spans = all_silent_spans(marks, sources, source.frames, source.sample_rate_hz)
    if not spans:
        return
    with open_frames(source) as frames:
        for start, stop in spans:
            peak = max(float(np.abs(block).max()) for block in frames.blocks(start, stop))
            if peak > amplitude(SILENCE_DBFS):
                yield start, stop, peak


def validate_marks(marks: Sequence[Mark], sources: Sequence[str], frames: int) -> tuple[Mark, ...]:
    """Check marks against the model's sources and the song's length; return them sorted, duplicates dropped.

    Raises:
        UnknownSourceError: a mark names a source that the model does not have. BadRegionError: a mark is
        empty, reversed or out of the song, or one says "active" where another of the
            same source says "silent".
    """
    for mark in marks:
        check_source(mark, sources)
        check_region(mark, frames)
    for source in sources:
        _check_consistent([mark for mark in marks if mark.source == source])
    return tuple(sorted(set(marks)))


def check_source(mark: Mark, sources: Sequence[str]) -> None:
    """Raise UnknownSourceError unless the model has the mark's source."""
    if mark.source in sources:
        return
    near = difflib.get_close_matches(mark.source.casefold(), sources, n=1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    raise UnknownSourceError(
        f'a mark names the source "{mark.source}", which the model does not have; {hint}'
        f"Its sources are {', '.join(sources)}",
        source=mark.source,
    )


def check_region(mark: Mark, frames: int) -> None:
    """Raise BadRegionError if the mark is empty, reversed or out of the song."""
    problem = None
    if mark.start_frame < 0:
        problem = f"starts at frame {mark.start_frame}, but a song starts at frame 0"
    elif mark.end_frame > frames:
        problem = f"ends at frame {mark.end_frame}, but the song has {frames} frames"
    elif mark.start_frame == mark.end_frame:
        problem = f"is empty: it starts and ends at frame {mark.start_frame}"
    elif mark.start_frame > mark.end_frame:
        problem = f"is reversed: it starts at frame {mark.start_frame} and ends at frame {mark.end_frame}"
    if problem:
        raise BadRegionError(f"region of {mark.source} {problem}", source=mark.source)


def _check_consistent(marks: Sequence[Mark]) -> None:
    """Of one source: no ACTIVE mark may overlap a SILENT one."""
    latest: dict[MarkState, Mark] = {}  # of each state, the mark so far that reaches furthest
    for mark in sorted(marks, key=lambda mark: mark.start_frame):
        other_state = MarkState.SILENT if mark.state is MarkState.ACTIVE else MarkState.ACTIVE
        other = latest.get(other_state)
        if other is not None and other.end_frame > mark.start_frame:
            raise BadRegionError(
                f"{mark.source} is marked {other.state.value} in frames {other.start_frame} to "
                f"{other.end_frame} and {mark.state.value} in frames {mark.start_frame} to {mark.end_frame}, "
                "which overlap; shorten one of them",
                source=mark.source,
            )
        same = latest.get(mark.state)
        if same is None or mark.end_frame > same.end_frame:
            latest[mark.state] = mark
