"""Visual frames of a run: pictures or a video of the players, encoded into feature vectors."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ugosa_server.errors import NoVideoEncoderError
from ugosa_server.jobs import RunEvent
from ugosa_server.marks.players import VisualFrame
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import prepare_steps
from ugosa_server.pipeline.plan import video_times_s
from ugosa_server.video.features import PictureEncoder, features_of_pictures, features_of_video


def with_player_frames(context: RunContext) -> Generator[RunEvent, None, RunContext]:
    """Encode the pictures of the players, if there are any, into a context with their features.

    Raises:
        NoVideoEncoderError: the server was started again without its encoder.
        BadOptionError, BadVideoError: a picture or the video cannot be used.
    """
    if not (context.spec.options.pictures or context.spec.options.video):
        return context
    encoder = context.networks.video_encoder
    if encoder is None:
        raise NoVideoEncoderError("this server makes no features of pictures; set video_encoder")
    frames: list[VisualFrame] = []
    for frame in _player_frames(context, encoder):
        frames.append(frame)
        yield from context.journal.advance(prepare_steps(context.spec.source) + len(frames))
    players = sorted({frame.player for frame in frames})
    slots = ", ".join(str(player) for player in players)
    yield context.journal.notice(
        "SEEN",
        f"the players are seen in {len(frames)} pictures of {len(players)} players (slots: {slots})"
        if frames
        else "no player is seen: the video shows none of the song's time",
        warning=not frames,
    )
    in_order = tuple(sorted(frames, key=lambda frame: (frame.player, frame.frame)))
    return context.with_options(visual_frames=in_order)


def _player_frames(context: RunContext, encoder: PictureEncoder) -> Iterator[VisualFrame]:
    spec, options = context.spec, context.spec.options
    if options.video is None:
        return features_of_pictures(encoder, options.pictures, context.check_cancel)
    times_s = video_times_s(spec, context.config)
    rate_hz = spec.source.sample_rate_hz
    return features_of_video(encoder, options.video, spec.video_path, times_s, rate_hz, context.check_cancel)
