"""Feature vectors of pictures: made of the pictures of a job, and kept in files (.npz).

A file holds `player` [n], `time_s` [n] and `features` [n, D] in float16.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError
from ugosa_server.files import replacing
from ugosa_server.marks.players import PlayerPicture, VideoSource, VisualFrame
from ugosa_server.video.child import TakenPicture, jpeg_pictures, video_pictures
from ugosa_server.video.encoders import PictureEncoder


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


def features_of_pictures(
    encoder: PictureEncoder, pictures: Sequence[PlayerPicture], check: Callable[[], None]
) -> Iterator[VisualFrame]:
    """Yield a vector for each picture.

    Args:
        encoder: of the server.
        pictures: validated.
        check: called several times a second; may raise to end it.

    Raises:
        BadVideoError: a picture cannot be decoded.
    """
    jpegs = [picture.jpeg for picture in pictures]
    taken = jpeg_pictures(jpegs, encoder.width, encoder.height, check)
    for picture, shown in zip(pictures, taken, strict=True):
        yield VisualFrame(picture.player, picture.frame, _features(encoder, shown))


def features_of_video(
    encoder: PictureEncoder,
    video: VideoSource,
    path: str,
    times_s: Sequence[float],
    rate_hz: int,
    check: Callable[[], None],
) -> Iterator[VisualFrame]:
    """Yield a vector for each player at each time that the video covers.

    Args:
        encoder: of the server.
        video: validated.
        path: of its file.
        times_s: rising, from the start of the song.
        rate_hz: of the song.
        check: called several times a second; may raise to end it.

    Raises:
        BadOptionError: a box lies outside of the video.
        BadVideoError: the video cannot be decoded.
    """
    start_s = video.start_frame / rate_hz
    in_video_s = [time_s - start_s for time_s in times_s if time_s >= start_s]
    for shown in video_pictures(path, video.players, in_video_s, encoder.width, encoder.height, check):
        frame = max(0, round((shown.time_s + start_s) * rate_hz))
        yield VisualFrame(shown.player, frame, _features(encoder, shown))


def _features(encoder: PictureEncoder, shown: TakenPicture) -> bytes:
    return encoder.encode(shown.rgb).astype("<f2").tobytes()
