"""What a set of marks must be before any work is done with it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ugosa_server.activations.marks import Mark, MarkState
from ugosa_server.errors import BadRegionError, UnknownSourceError


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
