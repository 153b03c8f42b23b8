"""The child process that decodes pictures: one JSON request on stdin, records on stdout (`picture_records`).

    {"cpu_s": ..., "video": path}                                                 what a video is
    {"cpu_s": ..., "video": path, "boxes": [[left, top, width, height], ...],
     "times_s": [...], "width": ..., "height": ...}                               pictures of a video
    {"cpu_s": ..., "jpegs": [base64, ...], "width": ..., "height": ...}           pictures as they came

Run by `probe.py` and `taken_pictures.py` as `python -m ugosa_server.video.picture_child`. It limits itself
before it reads a byte of a picture.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ugosa_server.audio.decoding.limits import NICENESS, limit_this_process
from ugosa_server.errors import UgosaError
from ugosa_server.marks.players import PlayerBox
from ugosa_server.video.picture_records import write_end, write_error, write_picture
from ugosa_server.video.pictures import Picture, probe_video, read_jpegs, read_video_at, resized

# Libraries map far more than they use; the largest frames, some kept for prediction, need several hundred MB.
ADDRESS_SPACE_BYTES = 3 << 30


def _pictures(fields: dict[str, Any]) -> Iterator[Picture]:
    if "jpegs" in fields:
        return read_jpegs(base64.b64decode(text) for text in fields["jpegs"])
    boxes = [PlayerBox(*box) for box in fields["boxes"]]
    return read_video_at(Path(fields["video"]), boxes, fields["times_s"])


def main() -> None:
    """Do what stdin asks for."""
    fields = json.load(sys.stdin)
    probes = "video" in fields and "boxes" not in fields
    # A worker waits for its pictures, and has given way itself.
    limit_this_process(ADDRESS_SPACE_BYTES, int(fields["cpu_s"]), NICENESS if probes else 0)
    out = sys.stdout.buffer
    try:
        if probes:
            json.dump({"video": dataclasses.asdict(probe_video(Path(fields["video"])))}, sys.stdout)
            return
        for picture in _pictures(fields):
            rgb = resized(picture.rgb, fields["width"], fields["height"])
            write_picture(out, picture.player, picture.time_s, rgb)
        write_end(out)
    except UgosaError as error:
        answer = {"error": {"reason": error.reason, "message": error.message, "metadata": error.metadata}}
        if probes:
            json.dump(answer, sys.stdout)
        else:
            write_error(out, answer)


if __name__ == "__main__":
    main()
