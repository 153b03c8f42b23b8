"""The musician's marks: regions in which a source is known to play or to be silent.

Positions are integer frames at the source's own sample rate, the end exclusive. Time that no mark of a source
covers is *unknown*: the source may play there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MarkState(StrEnum):
    """What a mark says of its source; unmarked time is neither."""

    ACTIVE = "active"
    SILENT = "silent"


@dataclass(frozen=True, order=True)
class Mark:
    """One region of one source."""

    source: str
    """Name of a source of the model, for example "vocals"."""
    state: MarkState
    """What the source does in the region."""
    start_frame: int
    """First frame, at the source rate; 0 <= start_frame < end_frame."""
    end_frame: int
    """One past the last frame, at most the number of frames of the song."""
