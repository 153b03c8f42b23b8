"""Options of the separation of a whole song (torch-free, so that the front process can validate them)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeparationOptions:
    """How a song is cut, separated and joined again; the defaults are the paper's experiment."""

    segment_s: float = 8.0
    """Length of a segment in seconds; > 0."""
    overlap: float = 0.25
    """Share of a segment that overlaps the next one; 0 <= overlap < 1."""
    shifts: int = 0
    """Random time shifts (up to 0.5 s) whose results are averaged; 0 = none."""
