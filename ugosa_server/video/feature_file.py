"""Files of feature vectors (.npz): `player` [n], `time_s` [n] and `features` [n, D] in float16."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.activations.visual_frames import VisualFrame
from ugosa_server.durable_files import replacing
from ugosa_server.errors import BadOptionError


def write_feature_file(
    path: Path, players: Sequence[int], times_s: Sequence[float], vectors: Sequence[NDArray[np.float32]]
) -> None:
    """Write one row a picture; `path` is the old file or the whole new one."""
    with replacing(path) as file:
        np.savez(
            file,
            player=np.array(players, dtype=np.int32),
            time_s=np.array(times_s, dtype=np.float64),
            features=np.stack(vectors).astype("<f2"),
        )


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
