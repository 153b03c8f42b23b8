"""Feature vectors of pictures: made of the pictures of a job, and kept in files (.npz).

A file holds `player` [n], `time_s` [n] and `features` [n, D] in float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
