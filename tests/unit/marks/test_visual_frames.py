"""What is seen of the players: what may come in, and what a window gets of it."""

import numpy as np
import pytest

from ugosa_server.errors import BadOptionError
from ugosa_server.marks.players import MAX_VISUAL_FRAMES, VisualFrame, validate_visual_frames
from ugosa_server.models.cunet.conditioning import VideoContexts

FRAME_RATE_HZ = 11025 / 256


def seen(player=0, frame=0, value=1.0, n_features=2048):
    return VisualFrame(player, frame, np.full(n_features, value, "<f2").tobytes())


def test_frames_come_back_sorted():
    frames = (seen(2, 5), seen(0, 9), seen(0, 3))
    assert validate_visual_frames(frames, 7, "m") == (frames[2], frames[1], frames[0])
    assert validate_visual_frames((), 0, "m") == ()


@pytest.mark.parametrize(
    ("frames", "slots", "message"),
    [
        ((seen(),), 0, "'m' is not conditioned on video"),
        ((seen(), seen(7)), 7, "frame 2 is of player 7, but slots are 0 to 6"),
        ((seen(-1),), 7, "player -1"),
        ((seen(frame=-1),), 7, "before the song"),
        ((seen(n_features=2049),), 7, "4098 bytes"),
        ((VisualFrame(0, 0, b""),), 7, "0 bytes"),
        ((VisualFrame(0, 0, b"abc"),), 7, "3 bytes"),
        ((seen(value=np.nan),), 7, "NaN"),
        ((seen(n_features=1),) * (MAX_VISUAL_FRAMES + 1), 7, "at most 768"),
    ],
)
def test_frames_that_cannot_be_are_refused(frames, slots, message):
    with pytest.raises(BadOptionError, match=message):
        validate_visual_frames(frames, slots, "m")


def test_fewer_features_are_filled_up_with_zeros():
    vector = seen(value=2.0, n_features=1024).vector(2048)
    assert (vector[:1024] == 2).all()
    assert (vector[1024:] == 0).all()


def test_one_frame_is_the_nearest_to_the_start_of_the_window():
    frames = [seen(1, 44_100 * t, value=t + 1) for t in (0, 6, 12)] + [seen(3, 0, value=9)]
    contexts = VideoContexts(frames, (7, 2048), 44_100, FRAME_RATE_HZ)
    for start_s, expected in ((0.0, 1), (2.9, 1), (3.1, 7), (8.0, 7), (500.0, 13), (-0.5, 1)):
        start = round(start_s * FRAME_RATE_HZ)
        context, choice = contexts.of(start, start + 256)
        assert context.shape == (1, 7, 2048)
        assert choice.tolist() == [0] * 256
        assert (context[0, 1] == expected).all()
        assert (context[0, 3] == 9).all()
        assert not context[0, [0, 2, 4, 5, 6]].any()


def test_n_frames_are_spread_over_the_window():
    frames = [seen(0, 48_000 * t, value=t) for t in range(12)]
    contexts = VideoContexts(frames, (7, 3, 2048), 48_000, FRAME_RATE_HZ)
    context, _ = contexts.of(round(2 * FRAME_RATE_HZ), round(2 * FRAME_RATE_HZ) + 256)  # 2 s to 7.94 s
    assert context[0, 0, :, 0].tolist() == [2, 4, 6]
