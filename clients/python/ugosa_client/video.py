"""Files of feature vectors, as `ugosa-server video features` writes them."""

from __future__ import annotations

import os
import zipfile

import numpy as np

from ugosa_client.errors import BadInputError
from ugosa_client.resources import VisualFrame


def read_visual_frames(path: str | os.PathLike[str], sample_rate_hz: int) -> tuple[VisualFrame, ...]:
    """Read `player` [n], `time_s` [n] and `features` [n, D] of an .npz file for a song of that rate.

    Raises:
        BadInputError: the file cannot be read or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            player, time_s, features = (arrays[name] for name in ("player", "time_s", "features"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{os.fspath(path)} is no file of video features: {error}") from error
    if features.ndim != 2 or player.shape != time_s.shape or player.shape != features.shape[:1]:
        raise BadInputError(
            f"{os.fspath(path)}: player {player.shape}, time_s {time_s.shape} and features {features.shape} "
            "must be [n], [n] and [n, D]"
        )
    if not np.isfinite(time_s).all():
        raise BadInputError(f"{os.fspath(path)}: time_s holds values that are no times")
    return tuple(
        VisualFrame(int(slot), round(float(at_s) * sample_rate_hz), vector.astype("<f2").tobytes())
        for slot, at_s, vector in zip(player, time_s, features, strict=True)
    )
