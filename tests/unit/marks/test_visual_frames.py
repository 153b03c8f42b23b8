"""Feature vectors of video frames: checks of a client's."""

import numpy as np
import pytest

from ugosa_server.errors import BadOptionError
from ugosa_server.marks.players import MAX_VISUAL_FRAMES, VisualFrame, validate_visual_frames


def seen(player=0, frame=0, value=1.0, n_features=2048):
    return VisualFrame(player, frame, np.full(n_features, value, "<f2").tobytes())


def test_frames_come_back_sorted():
    frames = (seen(2, 5), seen(0, 9), seen(0, 3))
    assert validate_visual_frames(frames, 7) == (frames[2], frames[1], frames[0])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ((seen(), seen(7)), "frame 2 is of player 7, but slots are 0 to 6"),
        ((seen(-1),), "player -1"),
        ((seen(frame=-1),), "before the song"),
        ((seen(n_features=2049),), "4098 bytes"),
        ((VisualFrame(0, 0, b""),), "0 bytes"),
        ((VisualFrame(0, 0, b"abc"),), "3 bytes"),
        ((seen(value=np.nan),), "NaN"),
        ((seen(n_features=1),) * (MAX_VISUAL_FRAMES + 1), "at most 768"),
    ],
)
def test_frames_that_cannot_be_are_refused(frames, message):
    with pytest.raises(BadOptionError, match=message):
        validate_visual_frames(frames, 7)


def test_fewer_features_are_filled_up_with_zeros():
    vector = seen(value=2.0, n_features=1024).vector(2048)
    assert (vector[:1024] == 2).all()
    assert (vector[1024:] == 0).all()
