"""From what a run shows of the players to visual frames: how many there will be, and their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ugosa_server.jobs.runs import RunSpec
from ugosa_server.marks.players import VisualFrame, picture_times_s
from ugosa_server.models.config import NetworkConfig
from ugosa_server.video.encoders import PictureEncoder
from ugosa_server.video.features import features_of_pictures, features_of_video


def most_sights(spec: RunSpec, config: NetworkConfig) -> int:
    """How many pictures are encoded, at most: a video may be shorter than its song."""
    if spec.video is None:
        return len(spec.pictures)
    return len(_times_s(spec, config)) * max(1, len(spec.video.players))


def sights_of(
    spec: RunSpec, config: NetworkConfig, encoder: PictureEncoder, check: Callable[[], None]
) -> Iterator[VisualFrame]:
    """Yield a visual frame for each picture; `check` is called often and may raise to end it.

    Raises:
        BadOptionError, BadVideoError: a picture or the video cannot be used.
    """
    if spec.video is None:
        return features_of_pictures(encoder, spec.pictures, check)
    rate_hz = spec.source.sample_rate_hz
    return features_of_video(encoder, spec.video, spec.video_path, _times_s(spec, config), rate_hz, check)


def _times_s(spec: RunSpec, config: NetworkConfig) -> tuple[float, ...]:
    assert spec.video is not None
    assert config.video is not None  # or the job would have been refused
    duration_s = spec.source.frames / spec.source.sample_rate_hz
    return picture_times_s(spec.video, config.video.interval_s, duration_s)
