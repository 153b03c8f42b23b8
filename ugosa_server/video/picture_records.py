"""What the child process that decodes pictures writes: small heads, each before a picture or an error.

kind (int8)  player (int32)  time_s (float64)  size_bytes (int32), little-endian, then so many bytes:
RGB [H, W, 3] of a picture, the JSON of an error, nothing at the end
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

HEAD = struct.Struct("<bidi")
END, PICTURE, ERROR = 0, 1, 2


def write_picture(out: BinaryIO, player: int, time_s: float, rgb: NDArray[np.uint8]) -> None:
    """Write a picture [H, W, 3]; of one that came as a JPEG file, the number counts and not the time."""
    out.write(HEAD.pack(PICTURE, player, time_s, rgb.nbytes))
    out.write(np.ascontiguousarray(rgb).data)


def write_error(out: BinaryIO, answer: dict[str, Any]) -> None:
    """Write why there are no more pictures."""
    body = json.dumps(answer).encode()
    out.write(HEAD.pack(ERROR, 0, 0.0, len(body)))
    out.write(body)


def write_end(out: BinaryIO) -> None:
    """Write that this was all."""
    out.write(HEAD.pack(END, 0, 0.0, 0))
