"""Files of `ugosa-server video features`, read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ugosa_server.errors import BadOptionError
from ugosa_server.marks.players import VisualFrame


def read_feature_file(path: Path, rate_hz: int) -> tuple[VisualFrame, ...]:
    """Read what is seen beside audio of that rate.

    Raises:
        BadOptionError: the file cannot be read or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            player, time_s, features = (arrays[name] for name in ("player", "time_s", "features"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadOptionError(f"{path} is no file of video features: {error}") from error
    if features.ndim != 2 or player.shape != time_s.shape or player.shape != features.shape[:1]:
        raise BadOptionError(
            f"{path}: player {player.shape}, time_s {time_s.shape} and features {features.shape} must be "
            "[n], [n] and [n, D]"
        )
    if not np.isfinite(time_s).all():
        raise BadOptionError(f"{path}: time_s holds values that are no times")
    return tuple(
        VisualFrame(int(slot), round(float(at_s) * rate_hz), vector.astype("<f2").tobytes())
        for slot, at_s, vector in zip(player, time_s, features, strict=True)
    )
