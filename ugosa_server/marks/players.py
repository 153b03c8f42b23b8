"""Conditioning on video: feature vectors, pictures or a video of the players of a song, and checks of them.

Feature vectors come from the client, or from the server's encoder (`video/`), which makes them of pictures
and videos before the network runs. All that can be checked without decoding a picture is checked here, so
that it is refused before any work. Models read these types, which is why they lie below them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError, BadVideoError

MAX_VISUAL_FRAMES = 768  # three quarters of a message of 4 MiB
MAX_PLAYERS = 7  # with a slot each
MAX_FEATURES = 2048  # of ResNet-50
FEATURE_BYTES = 2  # float16


@dataclass(frozen=True)
class VisualFrame:
    """One video frame of one player."""

    player: int
    """Slot of the player, from 0."""
    frame: int
    """Time at which it was taken, in frames of the song at its own rate."""
    features: bytes
    """Up to MAX_FEATURES float16, little-endian."""

    def vector(self, n_features: int) -> NDArray[np.float32]:
        """The features, filled up with zeros: [n_features]."""
        vector = np.zeros(n_features, dtype=np.float32)
        found = np.frombuffer(self.features, dtype="<f2")
        vector[: len(found)] = found
        return vector


def validate_visual_frames(frames: Sequence[VisualFrame], slots: int) -> tuple[VisualFrame, ...]:
    """Check feature vectors of a client, for a model of so many players; return them by player and time.

    Raises:
        BadOptionError: there are too many, or a frame cannot be.
    """
    if len(frames) > MAX_VISUAL_FRAMES:
        raise BadOptionError(
            f"there are {len(frames)} visual frames, but at most {MAX_VISUAL_FRAMES} are taken; "
            "one per player every six seconds is enough for a model of single frames"
        )
    for number, seen in enumerate(frames, start=1):
        n_bytes = len(seen.features)
        _check_place(f"visual frame {number}", seen.player, seen.frame, slots)
        if not n_bytes or n_bytes % FEATURE_BYTES or n_bytes > FEATURE_BYTES * MAX_FEATURES:
            raise BadOptionError(
                f"visual frame {number} has {n_bytes} bytes of features, but 1 to {MAX_FEATURES} float16 are "
                "expected"
            )
        if not np.isfinite(np.frombuffer(seen.features, dtype="<f2")).all():
            raise BadOptionError(f"visual frame {number} has features that are NaN or infinite")
    return tuple(sorted(frames, key=lambda seen: (seen.player, seen.frame)))


def _check_place(name: str, player: int, frame: int, slots: int) -> None:
    if not 0 <= player < slots:
        raise BadOptionError(f"{name} is of player {player}, but slots are 0 to {slots - 1}")
    if frame < 0:
        raise BadOptionError(f"{name} is at frame {frame}, before the song")


MAX_PICTURE_BYTES = 1024**2
MAX_PICTURES_BYTES = 3 * 1024**2  # three quarters of a message of 4 MiB
MAX_PICTURE_PIXELS = 4096 * 4096
MAX_VIDEO_PICTURES = 8192  # taken of a video for one job: a quarter of an hour of ResNet-50 on a few cores
MIN_INTERVAL_S = 0.02

JPEG_START = b"\xff\xd8"
# Markers of a frame header (SOF0 to SOF15), without those in between that mean tables.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


@dataclass(frozen=True)
class PlayerPicture:
    """One picture of one player."""

    player: int
    """Slot of the player, from 0."""
    frame: int
    """Time at which it was taken, in frames of the song at its own rate."""
    jpeg: bytes


@dataclass(frozen=True)
class PlayerBox:
    """Where a player is in a video: pixels from the upper left corner; none is below 0, no side is 0."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class VideoInfo:
    """Size in pixels and codec of an uploaded video, as its first frame says."""

    width: int
    height: int
    encoding: str
    """The codec as found, for example "h264"."""


@dataclass(frozen=True)
class VideoSource:
    """An uploaded video of the players, and what is taken of it."""

    upload_id: str
    players: tuple[PlayerBox, ...] = ()
    """Slot by slot; empty = one player, who has the whole picture."""
    interval_s: float = 0.0
    """Seconds between the pictures that are taken; 0 = the interval of the model."""
    start_frame: int = 0
    """Where in the song the video begins, in frames of the song; may be negative."""


def validate_pictures(pictures: Sequence[PlayerPicture], slots: int) -> tuple[PlayerPicture, ...]:
    """Check pictures of a client as `validate_visual_frames` does, without decoding them.

    Raises:
        BadOptionError: there is too much, or a picture cannot be.
        BadVideoError: a picture is no JPEG, or too large.
    """
    if len(pictures) > MAX_VISUAL_FRAMES:
        raise BadOptionError(
            f"there are {len(pictures)} pictures, but at most {MAX_VISUAL_FRAMES} are taken; upload a video"
        )
    total = sum(len(picture.jpeg) for picture in pictures)
    if total > MAX_PICTURES_BYTES:
        raise BadOptionError(
            f"the pictures have {total} bytes, but at most {MAX_PICTURES_BYTES} are taken with a request; "
            "send smaller ones (224 pixels a side are enough for ResNet-50), or upload a video"
        )
    for number, picture in enumerate(pictures, start=1):
        _check_place(f"picture {number}", picture.player, picture.frame, slots)
        if len(picture.jpeg) > MAX_PICTURE_BYTES:
            raise BadOptionError(
                f"picture {number} has {len(picture.jpeg)} bytes, but at most {MAX_PICTURE_BYTES} are taken"
            )
        width, height = jpeg_size(picture.jpeg, f"picture {number}")
        if width * height > MAX_PICTURE_PIXELS:
            raise BadVideoError(
                f"picture {number} is {width} x {height} pixels, but at most {MAX_PICTURE_PIXELS} pixels are "
                "taken"
            )
    return tuple(sorted(pictures, key=lambda picture: (picture.player, picture.frame)))


def jpeg_size(jpeg: bytes, name: str) -> tuple[int, int]:
    """Width and height that a JPEG file states in its first frame header (ITU T.81, annex B).

    Raises:
        BadVideoError: it is no JPEG file, or states no size.
    """
    if jpeg[:2] != JPEG_START:
        raise BadVideoError(f"{name} is no JPEG file")
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker == 0xFF:  # fill bytes may come before a marker
            at += 1
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if marker in _FRAME_HEADERS and at + 9 <= len(jpeg):
            height, width = (int.from_bytes(jpeg[i : i + 2], "big") for i in (at + 5, at + 7))
            if width and height:
                return width, height
            break
        at += 2 + length
    raise BadVideoError(f"{name} is a JPEG file without a size; it is damaged or cut short")


def check_video(video: VideoSource, slots: int) -> None:
    """Check the places and times of a job's video, for a model of so many players.

    Raises:
        BadOptionError: places or times cannot be.
    """
    if len(video.players) > slots:
        raise BadOptionError(f"there are {len(video.players)} boxes, but slots for {slots} players")
    for number, box in enumerate(video.players):
        if min(box.left, box.top) < 0 or min(box.width, box.height) < 1:
            raise BadOptionError(
                f"box {number} is {box.width} x {box.height} pixels at ({box.left}, {box.top}); it must have "
                "at least one and lie in the picture"
            )
    if video.interval_s != 0 and not MIN_INTERVAL_S <= video.interval_s < math.inf:
        raise BadOptionError(
            f"pictures are to be {video.interval_s:g} s apart, but must be at least {MIN_INTERVAL_S} s"
        )


def check_boxes(boxes: Sequence[PlayerBox], width: int, height: int) -> None:
    """Make sure that all boxes lie in a picture of that size.

    Raises:
        BadOptionError: one does not.
    """
    for number, box in enumerate(boxes):
        if box.left + box.width > width or box.top + box.height > height:
            raise BadOptionError(f"box {number} reaches beyond the picture of {width} x {height} pixels")


def picture_times_s(video: VideoSource, model_interval_s: float, duration_s: float) -> tuple[float, ...]:
    """Times at which pictures are taken of a song's video, in seconds of the song.

    Args:
        video: validated.
        model_interval_s: between the pictures that the model looks at.
        duration_s: of the song.

    Raises:
        BadOptionError: there would be too many of them.
    """
    interval_s = video.interval_s or model_interval_s
    count = max(1, math.ceil(duration_s / interval_s))
    players = max(1, len(video.players))
    if count * players > MAX_VIDEO_PICTURES:
        enough_s = duration_s * players / MAX_VIDEO_PICTURES
        raise BadOptionError(
            f"{count * players} pictures would be taken of the video, {count} of each player, but at most "
            f"{MAX_VIDEO_PICTURES} are; let them be at least {enough_s:.2f} s apart (every_seconds)"
        )
    return tuple(number * interval_s for number in range(count))
