"""Which of a model's instruments play in a song, said in a list or by the marks.

A model of many instruments (the Conditioned U-Net knows 13) gives stems of those that play, and `residual`.
The list decides. Without one the marks do: the instruments that they name, but for those that are silent in
the whole song. Marks that name none leave all. A model whose sources are the whole mix always gives them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ugosa_server.activations.activity import silent_spans
from ugosa_server.activations.marks import Mark, MarkState
from ugosa_server.errors import BadOptionError


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
