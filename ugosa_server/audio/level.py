"""Levels in dBFS: decibels relative to full scale, where a sample of absolute value 1 is 0 dBFS.

Digital silence is minus infinity; callers that write JSON, which knows no infinity, pass a `floor_dbfs`.
"""

from __future__ import annotations

import math

FULL_SCALE = 1.0


def peak_dbfs(peak: float, floor_dbfs: float = -math.inf) -> float:
    """Level of the largest absolute sample value: 20 log10(peak), at least `floor_dbfs`."""
    if peak < 0:
        raise ValueError(f"a peak is an absolute value, got {peak}")
    return max(floor_dbfs, 20.0 * math.log10(peak / FULL_SCALE)) if peak > 0 else floor_dbfs


def energy_dbfs(mean_square: float, floor_dbfs: float = -math.inf) -> float:
    """Level of a mean squared sample value: 10 log10(mean_square), at least `floor_dbfs`.

    A square wave at full scale is 0 dBFS, a sine at full scale -3.01 dBFS.
    """
    if mean_square < 0:
        raise ValueError(f"a mean square is not negative, got {mean_square}")
    return max(floor_dbfs, 10.0 * math.log10(mean_square / FULL_SCALE**2)) if mean_square > 0 else floor_dbfs


def amplitude(level_dbfs: float) -> float:
    """Absolute sample value of a peak level: the inverse of `peak_dbfs`."""
    return FULL_SCALE * math.pow(10.0, level_dbfs / 20.0)
