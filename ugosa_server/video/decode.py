"""Pictures of players: from a folder of JPEG files, or cut out of a video file by boxes.

All are read with PyAV; what is no picture is a BadVideoError. The size that a file states is checked before a
picture of it is decoded. Run as a program it is the child process of `child.py`: one JSON request on stdin,
JSON or records on stdout. It limits itself before it reads a byte of a picture.

    {"cpu_s": ..., "video": path}                                                 probe a video
    {"cpu_s": ..., "video": path, "boxes": [[left, top, width, height], ...],
     "times_s": [...], "width": ..., "height": ...}                               pictures of a video
    {"cpu_s": ..., "jpegs": [base64, ...], "width": ..., "height": ...}           pictures as they came
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError, BadVideoError, UgosaError
from ugosa_server.marks.players import MAX_PLAYERS, PlayerBox, VideoInfo, check_boxes
from ugosa_server.sandbox import NICENESS, answer_of_error, limit_this_process
from ugosa_server.video.child import END, ERROR, HEAD, PICTURE, TakenPicture

MAX_PIXELS = 8192 * 4320  # of a picture, or of a frame of a video
# Libraries map far more than they use; the largest frames, some kept for prediction, need several hundred MB.
ADDRESS_SPACE_BYTES = 3 << 30
FIRST = (-math.inf,)  # the time of the first picture, whatever it says

# Files of one piece only: a playlist could name other files of this machine, or addresses.
VIDEO_FORMATS: dict[str, Any] = {
    "options": {
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf",
        "protocol_whitelist": "file",
    }
}

_PICTURE_NAME = re.compile(r"(\d)_(\d+(?:\.\d+)?)\.jpe?g", re.IGNORECASE)


def parse_boxes(text: str) -> tuple[PlayerBox, ...]:
    """Read "0,0,640,720;640,0,640,720": left, top, width, height of each player."""
    boxes = []
    for item in text.split(";"):
        match = re.fullmatch(r"\s*(\d+),(\d+),(\d+),(\d+)\s*", item)
        if match is None or not (int(match[3]) and int(match[4])):
            raise BadOptionError(f"a box is LEFT,TOP,WIDTH,HEIGHT in pixels, got {item!r}")
        boxes.append(PlayerBox(*map(int, match.groups())))
    if len(boxes) > MAX_PLAYERS:
        raise BadOptionError(f"there are {len(boxes)} boxes, but slots for {MAX_PLAYERS} players")
    return tuple(boxes)


def read_folder(folder: Path) -> Iterator[TakenPicture]:
    """Yield the pictures of a folder of files `PLAYER_SECONDS.jpg`, such as `0_12.5.jpg`, by name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise BadOptionError(f"{folder} holds no file PLAYER_SECONDS.jpg")
    for path in paths:
        match = _PICTURE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) >= MAX_PLAYERS:
            raise BadOptionError(
                f"{path.name} is not PLAYER_SECONDS.jpg, with a slot of 0 to {MAX_PLAYERS - 1}"
            )
        with path.open("rb") as file:
            _, rgb = next(_frames(file, FIRST, str(path), format="jpeg_pipe"))
        yield TakenPicture(int(match[1]), float(match[2]), rgb)


def read_video(
    path: Path, boxes: Sequence[PlayerBox], times_s: Iterable[float], name: str = "the video"
) -> Iterator[TakenPicture]:
    """Yield every player's part of the video's first frame at or after each of rising times.

    Boxes are slot by slot; without any, one player has the whole picture. `name` is for messages, which
    clients read: paths of the server are not theirs.
    """
    for time_s, rgb in _frames(path, times_s, name, **VIDEO_FORMATS):
        height, width = rgb.shape[:2]
        check_boxes(boxes, width, height)
        for player, box in enumerate(boxes or (PlayerBox(0, 0, width, height),)):
            part = rgb[box.top : box.top + box.height, box.left : box.left + box.width]
            yield TakenPicture(player, time_s, part)


def read_jpegs(jpegs: Iterable[bytes]) -> Iterator[TakenPicture]:
    """Yield the pictures of JPEG files, with their numbers as times."""
    for number, jpeg in enumerate(jpegs):
        _, rgb = next(_frames(io.BytesIO(jpeg), FIRST, f"picture {number + 1}", format="jpeg_pipe"))
        yield TakenPicture(0, number, rgb)


def probe_video(path: Path) -> VideoInfo:
    """Decode the first picture of a video and return its size and codec."""
    _, rgb = next(_frames(path, FIRST, "the video", **VIDEO_FORMATS))
    with av.open(str(path), **VIDEO_FORMATS) as container:
        return VideoInfo(rgb.shape[1], rgb.shape[0], container.streams.video[0].codec_context.name)


def resized(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture bilinearly: [H, W, 3] -> [height, width, 3]."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(width, height, interpolation="BILINEAR").to_ndarray().astype(np.uint8, copy=False)


def _frames(
    file: Path | BinaryIO, times_s: Iterable[float], name: str, **opening: Any
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield the first frame at or after each time, with its own time."""
    wanted = iter(times_s)
    next_s = next(wanted, None)
    decoded = False
    try:
        with av.open(str(file) if isinstance(file, Path) else file, **opening) as container:
            if not container.streams.video:
                raise BadVideoError(f"{name} has no pictures in it")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise BadVideoError(f"{name} has pictures of a kind that cannot be decoded here")
            if stream.width * stream.height > MAX_PIXELS:
                raise BadVideoError(
                    f"{name} is {stream.width} x {stream.height} pixels; at most {MAX_PIXELS} pixels are read"
                )
            # What a file says first need not be what its frames say later.
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                decoded = True
                time_s = float(frame.time or 0.0)
                if next_s is None:
                    return
                if time_s + 1e-6 < next_s:
                    continue
                yield time_s, frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                while next_s is not None and next_s <= time_s + 1e-6:
                    next_s = next(wanted, None)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        # Without the library's own words: they name paths, and speak to programmers.
        raise BadVideoError(
            f"{name} cannot be read as pictures: it is damaged, or of a kind that is not known here; export "
            "it again, as MP4 or JPEG"
        ) from error
    if not decoded:
        raise BadVideoError(f"{name} has no picture that can be decoded")


def write_record(out: BinaryIO, kind: int, body: bytes, player: int = 0, time_s: float = 0.0) -> None:
    """Write one record of the child's answer; see `child.py`."""
    out.write(HEAD.pack(kind, player, time_s, len(body)))
    out.write(body)


def main() -> None:
    """Probe a video, or decode pictures, as stdin asks."""
    fields = json.load(sys.stdin)
    probes = "video" in fields and "boxes" not in fields
    # A worker waits for its pictures, and has given way itself.
    limit_this_process(fields, ADDRESS_SPACE_BYTES, NICENESS if probes else 0)
    out = sys.stdout.buffer
    try:
        if probes:
            json.dump({"video": dataclasses.asdict(probe_video(Path(fields["video"])))}, sys.stdout)
            return
        for picture in _requested(fields):
            rgb = np.ascontiguousarray(resized(picture.rgb, fields["width"], fields["height"]))
            write_record(out, PICTURE, rgb.tobytes(), picture.player, picture.time_s)
        write_record(out, END, b"")
    except UgosaError as error:
        answer = answer_of_error(error)
        if probes:
            json.dump(answer, sys.stdout)
        else:
            write_record(out, ERROR, json.dumps(answer).encode())


def _requested(fields: dict[str, Any]) -> Iterator[TakenPicture]:
    if "jpegs" in fields:
        return read_jpegs(base64.b64decode(text) for text in fields["jpegs"])
    boxes = [PlayerBox(*box) for box in fields["boxes"]]
    return read_video(Path(fields["video"]), boxes, fields["times_s"])


if __name__ == "__main__":
    main()
