"""Options of the separation of a whole song (torch-free, so that the front process can validate them)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import MaskKind

MIN_SEGMENT_S = 0.05
MAX_SEGMENT_S = 60.0  # memory grows with it
MAX_OVERLAP = 0.95  # the time that a separation takes grows with 1 / (1 - overlap)
MAX_SHIFTS = 20
MAX_WIENER_EXPONENT = 2.0  # the Wiener filter proper


@dataclass(frozen=True)
class SeparationOptions:
    """How a song is cut, separated and joined again; the defaults are the paper's experiment."""

    segment_s: float = 8.0
    """Length of a segment in seconds; 0.05 to 60."""
    overlap: float = 0.25
    """Share of a segment that overlaps the next one; 0 to 0.95."""
    shifts: int = 0
    """Random time shifts (up to 0.5 s) whose results are averaged; 0 = none, at most 20."""
    wiener_exponent: float = 0.0
    """Of a generalised Wiener filter over the estimates (see `wiener.py`): 1 takes ratios of magnitudes, 2 of
    powers; 0 = none, at most 2."""
    mask_kind: MaskKind = "soft"
    """What the masks of a network that gives masks are."""


def validate_separation_options(options: SeparationOptions, *, has_masks: bool = True) -> None:
    """Check every option against its range.

    Args:
        options: of a job.
        has_masks: whether the job's network gives masks.

    Raises:
        BadOptionError: an option is out of range; the message names it, its value and the range.
    """
    if options.mask_kind not in get_args(MaskKind):
        raise BadOptionError(
            f"mask_kind is {options.mask_kind!r}, but must be {', '.join(get_args(MaskKind))}"
        )
    if options.mask_kind != "soft" and not has_masks:
        raise BadOptionError(
            f"mask_kind is {options.mask_kind}, but the model gives waveforms and has no masks; leave it "
            "out, or name a model of masks such as cunet-multiply"
        )
    for name, value, lowest, highest in (
        ("separation segment_s", options.segment_s, MIN_SEGMENT_S, MAX_SEGMENT_S),
        ("separation overlap", options.overlap, 0, MAX_OVERLAP),
        ("separation shifts", options.shifts, 0, MAX_SHIFTS),
        ("wiener_exponent", options.wiener_exponent, 0, MAX_WIENER_EXPONENT),
    ):
        if not math.isfinite(value) or not lowest <= value <= highest:
            raise BadOptionError(
                f"{name} is {value:g}, but must be at least {lowest:g} and at most {highest:g}"
            )
