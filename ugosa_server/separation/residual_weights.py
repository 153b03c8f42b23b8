"""Shares of the residual of the mix that each source gets, by its power and its marks.

The share of source i at frame n, with power P_i(n) and silence gain g_i(n):

    w_i = sum over non-empty A of p(A) [i in A] (P_i + eps) / sum_{j in A} (P_j + eps)
          / sum over non-empty A of p(A),          p(A) = prod_{i in A} g_i prod_{i not in A} (1 - g_i)

In words: where all gains are 0 or 1, the sources with gain 1 share by power; in a fade, the shares of both
its ends are mixed by the gain. So w_i = 0 exactly where g_i = 0, the shares sum to 1, and w_i goes to 0 as
smoothly as g_i, however loud the estimate of i is. (The simpler w_i ~ g_i P_i does not: a silent source with
a million times the power of the active ones keeps nearly all of the mix until the last frame of its fade, and
then jumps.) Where every gain is 0 all sources share evenly.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

CELL_FRAMES = 1024  # power is averaged over cells at multiples of this
EPS = 1e-12  # of full-scale power; below it (-120 dBFS) sources share evenly


def cell_powers(stems: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean square of stems [S, C, n] in cells of CELL_FRAMES, the last one shorter: [S, cells]."""
    energy = np.square(stems, dtype=np.float64).mean(axis=1)  # [S, n]
    starts = np.arange(0, energy.shape[1], CELL_FRAMES)
    counts = np.diff(np.append(starts, energy.shape[1]))
    return np.add.reduceat(energy, starts, axis=1) / counts


def interpolate_powers(
    powers: NDArray[np.float64], first_cell: int, start_frame: int, stop_frame: int
) -> NDArray[np.float64]:
    """Return P_i(n), [S, n]: linear between centres of cells from `first_cell` on, constant beyond."""
    centres = (first_cell + np.arange(powers.shape[1]) + 0.5) * CELL_FRAMES - 0.5
    frames = np.arange(start_frame, stop_frame)
    return np.stack([np.interp(frames, centres, row) for row in powers])


def residual_weights(powers: NDArray[np.float64], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares w_i(n) from P_i(n) and g_i(n), all [S, n]."""
    weights = _shares(powers + EPS, gains)
    fading = (gains > 0.0) & (gains < 1.0)  # [S, n]
    frames = np.flatnonzero(fading.any(axis=0))
    if len(frames):
        # By the sources that fade at the same time, since their number decides how many sets A there are.
        together, kind = np.unique(fading[:, frames], axis=1, return_inverse=True)
        for number, rows in enumerate(together.T):
            part = frames[kind.reshape(-1) == number]  # NumPy 2.0 gives `kind` two axes
            shares = _expected_shares(powers[:, part] + EPS, gains[:, part], np.flatnonzero(rows))
            weights[:, part] = shares
    return weights


def _shares(powers: NDArray[np.float64], active: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shares by power among sources with active[i, n] = 1, even ones where there is none: [S, n]."""
    claims = powers * active
    total = claims.sum(axis=0)
    nobody = total == 0.0
    return np.where(nobody, 1.0 / len(powers), claims / np.where(nobody, 1.0, total))


def _expected_shares(
    powers: NDArray[np.float64], gains: NDArray[np.float64], fading_rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return mean shares if each source takes part with probability g_i and at least one does."""
    mean = np.zeros_like(powers)
    certainty = np.zeros(powers.shape[1])
    active = gains.copy()
    for takes_part in product((0.0, 1.0), repeat=len(fading_rows)):
        chosen = np.array(takes_part)[:, None]
        probability = np.where(chosen == 1.0, gains[fading_rows], 1.0 - gains[fading_rows]).prod(axis=0)
        active[fading_rows] = chosen
        probability *= active.any(axis=0)
        mean += probability * _shares(powers, active)
        certainty += probability
    nobody = certainty == 0.0
    return np.where(nobody, 1.0 / len(powers), mean / np.where(nobody, 1.0, certainty))
