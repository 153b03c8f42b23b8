"""Pictures of players: from a folder of JPEG files, or cut out of a video file by boxes.

All are read with PyAV. What a file says of its size is checked before a picture of it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError

MAX_PIXELS = 8192 * 4320  # of a picture, or of a frame of a video
MAX_PLAYERS = 7

_PICTURE_NAME = re.compile(r"(\d)_(\d+(?:\.\d+)?)\.jpe?g", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """One player at one time."""

    player: int
    """Slot, from 0."""
    time_s: float
    """From the start of the song."""
    rgb: NDArray[np.uint8]
    """[H, W, 3]."""


@dataclass(frozen=True)
class Box:
    """Where a player is in a video: pixels from the upper left corner."""

    left: int
    top: int
    width: int
    height: int


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Read "0,0,640,720;640,0,640,720": left, top, width, height of each player.

    Raises:
        BadOptionError: it does not say whole positive boxes, or of too many players.
    """
    boxes = []
    for item in text.split(";"):
        match = re.fullmatch(r"\s*(\d+),(\d+),(\d+),(\d+)\s*", item)
        if match is None or not (int(match[3]) and int(match[4])):
            raise BadOptionError(f"a box is LEFT,TOP,WIDTH,HEIGHT in pixels, got {item!r}")
        boxes.append(Box(*map(int, match.groups())))
    if len(boxes) > MAX_PLAYERS:
        raise BadOptionError(f"there are {len(boxes)} boxes, but slots for {MAX_PLAYERS} players")
    return tuple(boxes)


def read_folder(folder: Path) -> Iterator[Picture]:
    """Yield the pictures of a folder of files `PLAYER_SECONDS.jpg`, such as `0_12.5.jpg`, by name.

    Raises:
        BadOptionError: there are none, a name says something else, or a file is no picture.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise BadOptionError(f"{folder} holds no file PLAYER_SECONDS.jpg")
    for path in paths:
        match = _PICTURE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) >= MAX_PLAYERS:
            raise BadOptionError(
                f"{path.name} is not PLAYER_SECONDS.jpg, with a slot of 0 to {MAX_PLAYERS - 1}"
            )
        _, rgb = next(_frames(path, [0.0]))
        yield Picture(int(match[1]), float(match[2]), rgb)


def read_video(path: Path, boxes: Sequence[Box], every_s: float) -> Iterator[Picture]:
    """Yield every player's part of the video's frames nearest after 0, every_s, 2 every_s ... seconds.

    Raises:
        BadOptionError: the file has no video that can be decoded, or a box lies outside of it.
    """
    if not every_s > 0:
        raise BadOptionError(f"pictures must be more than 0 s apart, got {every_s:g}")
    for time_s, rgb in _frames(path, _multiples(every_s)):
        height, width = rgb.shape[:2]
        for player, box in enumerate(boxes or (Box(0, 0, width, height),)):
            if box.left + box.width > width or box.top + box.height > height:
                raise BadOptionError(f"box {player} reaches beyond the picture of {width} x {height} pixels")
            part = rgb[box.top : box.top + box.height, box.left : box.left + box.width]
            yield Picture(player, time_s, part)


def resized(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture bilinearly: [H, W, 3] -> [height, width, 3]."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(width, height, interpolation="BILINEAR").to_ndarray().astype(np.uint8, copy=False)


def _multiples(every_s: float) -> Iterator[float]:
    count = 0
    while True:
        yield count * every_s
        count += 1


def _frames(path: Path, times_s: Iterable[float]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The first frame at or after each time, and when it is."""
    wanted = iter(times_s)
    next_s = next(wanted)
    found = False
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadOptionError(f"{path} has no pictures in it")
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise BadOptionError(
                    f"{path} is {stream.width} x {stream.height} pixels; at most {MAX_PIXELS} pixels are read"
                )
            for frame in container.decode(stream):
                time_s = float(frame.time or 0.0)
                if time_s + 1e-6 < next_s:
                    continue
                found = True
                yield time_s, frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                while next_s <= time_s + 1e-6:
                    following = next(wanted, None)
                    if following is None:
                        return
                    next_s = following
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadOptionError(f"{path} cannot be read as pictures: {error}") from error
    if not found:
        raise BadOptionError(f"{path} has no picture that can be decoded")
