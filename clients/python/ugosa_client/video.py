"""Views of the players of a song, as files: feature vectors, pictures or a video."""

from __future__ import annotations

import hashlib
import math
import os
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ugosa_client.connection import Connection
from ugosa_client.errors import BadInputError, reason_of, sentence_of
from ugosa_client.resources import JobOptions, PlayerBox, PlayerPicture, VideoSource, VisualFrame
from ugosa_client.song import VideoFile
from ugosa_client.uploads import upload_song

_PICTURE_NAME = re.compile(r"(\d)_(\d+(?:\.\d+)?)\.jpe?g", re.IGNORECASE)


@dataclass(frozen=True)
class Sight:
    """View of the players of a song: features, pictures or a video."""

    features: str | os.PathLike[str] | None = None
    """A file of `ugosa-server video features`."""
    pictures: str | os.PathLike[str] | None = None
    """A folder of files `PLAYER_SECONDS.jpg`, such as `0_12.5.jpg`."""
    video: str | os.PathLike[str] | None = None
    """A video file, which is uploaded."""
    players: tuple[PlayerBox, ...] = ()
    """Place of each player in a video, slot by slot; empty = one, who has the whole picture."""
    every_s: float = 0.0
    """Seconds between the pictures taken of a video; 0 = the model's own interval."""
    start_s: float = 0.0
    """Start of a video in the song, in seconds; may be negative."""

    def check(self) -> None:
        """Check everything that can be checked without a server.

        Raises:
            BadInputError: none or several of the files are given, or one cannot be read.
        """
        given = [file for file in (self.features, self.pictures, self.video) if file is not None]
        if len(given) != 1:
            raise BadInputError("give one of features, pictures and video for the players")
        if self.video is None and (self.players or self.every_s or self.start_s):
            raise BadInputError("players' places and times are those of a video; give one")
        for name, seconds in (("between pictures", self.every_s), ("where the video begins", self.start_s)):
            if not math.isfinite(seconds):
                raise BadInputError(f"{name}: {seconds} is no number of seconds")
        if self.video is not None and not Path(self.video).is_file():
            raise BadInputError(f"there is no video {os.fspath(self.video)}")
        self._read(1)

    def options(self, connection: Connection, options: JobOptions, sample_rate_hz: int) -> JobOptions:
        """Return the options with features, pictures or the uploaded video.

        Raises:
            BadInputError: a file cannot be read, or the server cannot use it.
        """
        if self.video is None:
            frames, pictures = self._read(sample_rate_hz)
            return replace(options, visual_frames=frames, pictures=pictures)
        upload = upload_song(connection, VideoFile(self.video))
        start_frame = round(self.start_s * sample_rate_hz)
        source = VideoSource(upload.upload_id, self.players, self.every_s, start_frame)
        return replace(options, video=source)

    def sha256(self) -> str:
        """Return a digest, the same for the same files, places and times.

        Raises:
            BadInputError: a file cannot be read.
        """
        digest = hashlib.sha256(repr((self.players, self.every_s, self.start_s)).encode())
        try:
            for file in (self.features, self.video):
                if file is not None:
                    with Path(file).open("rb") as stream:
                        digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise BadInputError(f"cannot read {sentence_of(error)}") from error
        if self.pictures is not None:
            for picture in read_pictures(self.pictures, 1000):
                digest.update(f"{picture.player} {picture.frame} ".encode())
                digest.update(hashlib.sha256(picture.jpeg).digest())
        return digest.hexdigest()

    def _read(self, sample_rate_hz: int) -> tuple[tuple[VisualFrame, ...], tuple[PlayerPicture, ...]]:
        if self.features is not None:
            return read_visual_frames(self.features, sample_rate_hz), ()
        if self.pictures is not None:
            return (), read_pictures(self.pictures, sample_rate_hz)
        return (), ()


def parse_boxes(text: str) -> tuple[PlayerBox, ...]:
    """Read "0,0,640,720;640,0,640,720": left, top, width, height of each player.

    Raises:
        BadInputError: it does not say so.
    """
    boxes = []
    for item in text.split(";"):
        match = re.fullmatch(r"\s*(\d+),(\d+),(\d+),(\d+)\s*", item)
        if match is None:
            raise BadInputError(f"a player's place is LEFT,TOP,WIDTH,HEIGHT in pixels, got {item!r}")
        boxes.append(PlayerBox(*map(int, match.groups())))
    return tuple(boxes)


def read_pictures(folder: str | os.PathLike[str], sample_rate_hz: int) -> tuple[PlayerPicture, ...]:
    """Read the files `PLAYER_SECONDS.jpg` of a folder for a song of that rate.

    Raises:
        BadInputError: there are none, a name says something else, or one cannot be read.
    """
    try:
        paths = sorted(path for path in Path(folder).iterdir() if path.suffix.casefold() in (".jpg", ".jpeg"))
        if not paths:
            raise BadInputError(f"{os.fspath(folder)} holds no file PLAYER_SECONDS.jpg, such as 0_12.5.jpg")
        pictures = []
        for path in paths:
            match = _PICTURE_NAME.fullmatch(path.name)
            if match is None:
                raise BadInputError(f"{path.name} is not PLAYER_SECONDS.jpg, such as 0_12.5.jpg")
            frame = round(float(match[2]) * sample_rate_hz)
            pictures.append(PlayerPicture(int(match[1]), frame, path.read_bytes()))
    except OSError as error:
        raise BadInputError(f"cannot read the pictures in {os.fspath(folder)}: {reason_of(error)}") from error
    return tuple(pictures)


def read_visual_frames(path: str | os.PathLike[str], sample_rate_hz: int) -> tuple[VisualFrame, ...]:
    """Read `player` [n], `time_s` [n], `features` [n, D] of an .npz file for a song of a rate.

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
