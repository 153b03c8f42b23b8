"""Options of the separation of a whole song. Free of torch; jobs/option_table.py has their ranges."""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.models import MaskKind


@dataclass(frozen=True)
class SeparationOptions:
    """Segments, shifts and filter of a separation; the defaults are the paper's experiment."""

    segment_s: float = 8.0
    """Length of a segment in seconds; 0.05 to 60."""
    overlap: float = 0.25
    """Share of a segment that overlaps the next one; 0 to 0.95."""
    shifts: int = 0
    """Random time shifts (up to 0.5 s) whose results are averaged; 0: none, at most 20."""
    wiener_exponent: float = 0.0
    """Exponent of a generalised Wiener filter over the estimates (see `wiener.py`): 1 takes ratios of
    magnitudes, 2 of powers; 0: no filter, at most 2."""
    mask_kind: MaskKind = "soft"
    """Kind of masks, of a network that outputs masks."""
