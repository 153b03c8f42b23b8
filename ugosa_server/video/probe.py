"""What an uploaded video is, found out in a child process; free of decoders, so that the front can ask."""

from __future__ import annotations

from pathlib import Path

from ugosa_server.audio.decoding.run_child import ask_child
from ugosa_server.marks.players import VideoInfo

CHILD = "ugosa_server.video.picture_child"


async def probe_in_child(path: Path, timeout_s: float) -> VideoInfo:
    """Decode the first picture of a video in a child process with limited memory and CPU time.

    Raises:
        BadVideoError: it is no video, or one that is too large.
        DecoderCrashedError: decoding it crashed or took longer than `timeout_s`.
    """
    answer = await ask_child(CHILD, {"video": str(path)}, timeout_s, "the video", "export it again, as MP4")
    return VideoInfo(**answer["video"])
