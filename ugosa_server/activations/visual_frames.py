"""What is seen of the players of a song: feature vectors of video frames, of the client or of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError

MAX_VISUAL_FRAMES = 768  # three quarters of a message of 4 MiB
MAX_FEATURES = 2048  # of ResNet-50
FEATURE_BYTES = 2  # float16


@dataclass(frozen=True)
class VisualFrame:
    """One video frame of one player."""

    player: int
    """Slot of the player, from 0."""
    frame: int
    """When it was taken, in frames of the song at its own rate."""
    features: bytes
    """Up to MAX_FEATURES float16, little-endian."""

    def vector(self, n_features: int) -> NDArray[np.float32]:
        """The features, filled up with zeros: [n_features]."""
        vector = np.zeros(n_features, dtype=np.float32)
        found = np.frombuffer(self.features, dtype="<f2")
        vector[: len(found)] = found
        return vector


def validate_visual_frames(frames: Sequence[VisualFrame], slots: int, model: str) -> tuple[VisualFrame, ...]:
    """Check what a client says is seen; return it sorted by player and time.

    Args:
        frames: of a client.
        slots: players that the model can see; 0 = it is not conditioned on video.
        model: its name, for messages.

    Raises:
        BadOptionError: the model sees no video, there is too much, or a frame cannot be.
    """
    if frames and not slots:
        raise BadOptionError(f"the model {model!r} is not conditioned on video; leave visual_frames out")
    if len(frames) > MAX_VISUAL_FRAMES:
        raise BadOptionError(
            f"there are {len(frames)} visual frames, but at most {MAX_VISUAL_FRAMES} are taken; "
            "one per player every six seconds is enough for a model of single frames"
        )
    for number, seen in enumerate(frames, start=1):
        n_bytes = len(seen.features)
        if not 0 <= seen.player < slots:
            raise BadOptionError(
                f"visual frame {number} is of player {seen.player}, but slots are 0 to {slots - 1}"
            )
        if seen.frame < 0:
            raise BadOptionError(f"visual frame {number} is at frame {seen.frame}, before the song")
        if not n_bytes or n_bytes % FEATURE_BYTES or n_bytes > FEATURE_BYTES * MAX_FEATURES:
            raise BadOptionError(
                f"visual frame {number} has {n_bytes} bytes of features, but 1 to {MAX_FEATURES} float16 are "
                "expected"
            )
        if not np.isfinite(np.frombuffer(seen.features, dtype="<f2")).all():
            raise BadOptionError(f"visual frame {number} has features that are NaN or infinite")
    return tuple(sorted(frames, key=lambda seen: (seen.player, seen.frame)))
