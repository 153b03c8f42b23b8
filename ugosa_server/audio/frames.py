"""The decoded song on disk, read a slice at a time.

Read with `pread` rather than mapped: the pages of a mapping count as memory of the process, and an hour of
stereo is more than a gigabyte of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import UploadDamagedError

BLOCK_FRAMES = 65_536
SAMPLE_BYTES = 4  # float32


class SourceFrames:
    """A song as a `[T, C]` array of float32 whose slices are read from disk when they are asked for.

    Behaves like the array in `frames[start:stop]`, `frames.shape` and `len(frames)`; slices are fresh arrays.
    Reading is safe from several threads at once.
    """

    def __init__(self, source: SourceAudio) -> None:
        """Open a decoded song at its own rate.

        Raises:
            UploadDamagedError: the file is gone or is not as long as `source` says.
        """
        self.source = source
        self.shape = (source.frames, source.channels)
        self._frame_bytes = SAMPLE_BYTES * source.channels
        try:
            self._fd = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise UploadDamagedError("the song is no longer on the server's disk; send it again") from error
        size_bytes = os.fstat(self._fd).st_size
        if size_bytes != source.frames * self._frame_bytes:
            self.close()
            raise UploadDamagedError(
                f"the decoded audio has {size_bytes} bytes, but {source.frames} frames of {source.channels} "
                f"channel(s) take {source.frames * self._frame_bytes}; send the song again"
            )

    def __len__(self) -> int:
        """T, the number of frames."""
        return self.shape[0]

    def __getitem__(self, frames: slice) -> NDArray[np.float32]:
        """Read the frames of a slice of step 1: `[n, C]`."""
        start, stop, step = frames.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"only consecutive frames can be read, got step {step}")
        count_frames = max(0, stop - start)
        data = bytearray(count_frames * self._frame_bytes)
        view = memoryview(data)
        offset = start * self._frame_bytes
        done_bytes = 0
        while done_bytes < len(view):
            count = os.preadv(self._fd, [view[done_bytes:]], offset + done_bytes)
            if count == 0:
                raise UploadDamagedError(
                    f"the decoded audio ended early, at byte {offset + done_bytes} of "
                    f"{len(self) * self._frame_bytes}; send the song again"
                )
            done_bytes += count
        return np.frombuffer(data, dtype="<f4").reshape(count_frames, self.shape[1])

    def blocks(self, start_frame: int = 0, stop_frame: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield `[n, C]` blocks of at most BLOCK_FRAMES frames from `start_frame` up to `stop_frame`."""
        end = len(self) if stop_frame is None else min(stop_frame, len(self))
        for start in range(start_frame, end, BLOCK_FRAMES):
            yield self[start : min(start + BLOCK_FRAMES, end)]

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> SourceFrames:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()
