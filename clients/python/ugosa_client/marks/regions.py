"""A named region as a marks file writes it, before names become sources and times become frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


@dataclass(frozen=True)
class Position:
    """A point in time, exactly as it was written."""

    value: Fraction
    """Seconds, or frames if `in_frames`."""
    resolution: Fraction
    """What the last written digit counts, in the same unit: 1/1000 for "0:00.500"."""
    in_frames: bool = False
    """Whether the file counts samples."""

    def frame(self, sample_rate_hz: int) -> int:
        """Return the nearest frame; halves round up."""
        frames = self.value if self.in_frames else self.value * sample_rate_hz
        return int((frames + Fraction(1, 2)) // 1)

    def rounding_frames(self, sample_rate_hz: int) -> int:
        """Return how many frames off the written digits may be: half a last digit, and one frame at least."""
        if self.in_frames:
            return 1
        return max(1, -int(-self.resolution / 2 * sample_rate_hz // 1))


@dataclass(frozen=True)
class Region:
    """A named stretch of time of a marks file."""

    name: str
    """What the musician wrote, for example "no vocals"."""
    start: Position
    """Its first moment."""
    end: Position
    """Its end, exclusive."""
    line: int
    """Line of the file, from 1."""


def parse_seconds(text: str) -> Position:
    """Read a plain decimal number of seconds.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number of seconds")
    decimals = len(text.partition(".")[2])
    return Position(Fraction(text), Fraction(1, 10**decimals))
