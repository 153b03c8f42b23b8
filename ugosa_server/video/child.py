"""Decoding pictures in a child process, as its parent sees it: probing a video, and pictures of players.

Free of decoders, so that the front process can probe. A picture that upsets a decoder costs the child and not
the worker, and a cancel is seen while it decodes. The child's program is `decode.py`. It answers a probe in
JSON, and with pictures in records, little-endian:

kind (int8)  player (int32)  time_s (float64)  size_bytes (int32), then so many bytes:
RGB [H, W, 3] of a picture, the JSON of an error, nothing at the end
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadVideoError
from ugosa_server.marks.players import PlayerBox, VideoInfo
from ugosa_server.sandbox import (
    ask_child,
    child_command,
    child_environment,
    ending_of,
    error_of_answer,
    limits_of_child,
)

CHILD = "ugosa_server.video.decode"
HEAD = struct.Struct("<bidi")
END, PICTURE, ERROR = 0, 1, 2
POLL_S = 0.2  # how soon a cancel is seen while a picture is decoded
CPU_S = 4 * 3600  # of decoding: an hour of video at several times its own speed


@dataclass(frozen=True)
class TakenPicture:
    """One player at one time."""

    player: int
    """Slot, from 0; 0 for a picture that came as a JPEG file."""
    time_s: float
    """Time from the start of the video; the number of a picture that came as a JPEG file."""
    rgb: NDArray[np.uint8]
    """[H, W, 3]; [height, width, 3] where the encoder's size was asked for."""


async def probe_in_child(path: Path, timeout_s: float) -> VideoInfo:
    """Decode the first picture of a video in a child process with limited memory and CPU time.

    Raises:
        BadVideoError: it is no video, or one that is too large.
        DecoderCrashedError: decoding it crashed or took longer than `timeout_s`.
    """
    answer = await ask_child(CHILD, {"video": str(path)}, timeout_s, "the video", "export it again, as MP4")
    return VideoInfo(**answer["video"])


def jpeg_pictures(
    jpegs: Sequence[bytes], width: int, height: int, check: Callable[[], None]
) -> Iterator[TakenPicture]:
    """Yield pictures of JPEG files, in order, scaled; `check` is called several times a second, to end it.

    Raises:
        BadVideoError: one cannot be decoded.
    """
    return _pictures({"jpegs": [base64.b64encode(jpeg).decode() for jpeg in jpegs]}, width, height, check)


def video_pictures(
    path: str,
    boxes: Sequence[PlayerBox],
    times_s: Sequence[float],
    width: int,
    height: int,
    check: Callable[[], None],
) -> Iterator[TakenPicture]:
    """Yield the part in each box of the video's first frame at or after each time, scaled.

    Args:
        path: of the video.
        boxes: slot by slot; none = the whole picture.
        times_s: rising, from the start of the video; those after its end give nothing.
        width: in pixels, of what is yielded.
        height: in pixels, of what is yielded.
        check: called several times a second; may raise to end it.

    Raises:
        BadVideoError: it cannot be decoded.
    """
    places = [(box.left, box.top, box.width, box.height) for box in boxes]
    request = {"video": path, "boxes": places, "times_s": list(times_s)}
    return _pictures(request, width, height, check)


def _pictures(
    request: dict[str, Any], width: int, height: int, check: Callable[[], None]
) -> Iterator[TakenPicture]:
    with _child(request | {"width": width, "height": height} | limits_of_child(CPU_S)) as child:
        while True:
            kind, player, time_s, size_bytes = HEAD.unpack(_read(child, HEAD.size, check))
            if kind == END:
                return
            body = _read(child, size_bytes, check)
            if kind == ERROR:
                raise error_of_answer(json.loads(body))
            yield TakenPicture(player, time_s, np.frombuffer(body, np.uint8).reshape(height, width, 3))


@contextmanager
def _child(request: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        child_command(CHILD), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with child.stdin as stdin:  # it reads all of it before it answers
            stdin.write(json.dumps(request).encode())
        yield child
    except BrokenPipeError as error:
        raise _crashed(child) from error
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _read(child: subprocess.Popen[bytes], size: int, check: Callable[[], None]) -> bytes:
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    blocks: list[bytes] = []
    missing = size
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while missing:
            check()
            if not selector.select(POLL_S):
                continue
            block = os.read(descriptor, missing)
            if not block:
                raise _crashed(child)
            blocks.append(block)
            missing -= len(block)
    return b"".join(blocks)


def _crashed(child: subprocess.Popen[bytes]) -> BadVideoError:
    return BadVideoError(
        f"the pictures of the players cannot be decoded: their decoder {ending_of(child.wait())}; they are"
        " damaged or not what they seem"
    )
