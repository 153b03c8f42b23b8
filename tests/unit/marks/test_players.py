"""Pictures and videos of players are checked before anything of them is decoded."""

import math
import struct

import pytest

from tests.helpers.players import RED, drawn, jpeg_header, write_jpeg
from ugosa_server.errors import BadOptionError, BadVideoError
from ugosa_server.marks.players import (
    MAX_PICTURE_BYTES,
    PlayerBox,
    PlayerPicture,
    VideoSource,
    check_boxes,
    check_video,
    jpeg_size,
    picture_times_s,
    validate_pictures,
)

SLOTS = 7


def picture(player=0, frame=0, jpeg=None):
    return PlayerPicture(player, frame, jpeg_header(640, 480) if jpeg is None else jpeg)


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xCF])
def test_the_size_is_what_the_frame_header_states(marker):
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 30) + jpeg_header(8, 8)[:30].ljust(30, b"\0")
    fill = b"\xff\xff"
    assert jpeg_size(jpeg_header(640, 480, marker, thumbnail + fill), "p") == (640, 480)


def test_the_size_of_a_real_file(tmp_path):
    write_jpeg(tmp_path / "p.jpg", drawn(RED, height=50, width=98))
    assert jpeg_size((tmp_path / "p.jpg").read_bytes(), "p") == (98, 50)


@pytest.mark.parametrize(
    "jpeg",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        jpeg_header(640, 480)[:-2],
        jpeg_header(0, 480),
        jpeg_header(640, 0),
        b"\xff\xd8\xff\xda\x00\x02" + jpeg_header(1, 1)[2:],  # a scan before any size
        b"\xff\xd8\xff\xe0\xff\xff",  # a segment longer than the file
        b"\xff\xd8\xff\xe0\x00\x00" * 9,
        b"\xff\xd8" + b"\xff" * 100_000,
    ],
)
def test_what_states_no_size_is_refused(jpeg):
    with pytest.raises(BadVideoError, match=r"^p is"):
        jpeg_size(jpeg, "p")


def test_pictures_come_sorted_by_player_and_time():
    pictures = (picture(1, 5), picture(0, 9), picture(0, 3))
    assert validate_pictures(pictures, SLOTS) == (pictures[2], pictures[1], pictures[0])


@pytest.mark.parametrize(
    ("pictures", "error", "message"),
    [
        ([picture(7)], BadOptionError, "player 7, but slots are 0 to 6"),
        ([picture(-1)], BadOptionError, "player -1"),
        ([picture(0, -1)], BadOptionError, "before the song"),
        ([picture()] * 769, BadOptionError, "769 pictures, but at most 768"),
        (
            [picture(jpeg=jpeg_header(9, 9) + bytes(10**6))] * 4,
            BadOptionError,
            "but at most 3145728 are taken",
        ),
        (
            [picture(jpeg=jpeg_header(9, 9) + bytes(MAX_PICTURE_BYTES))],
            BadOptionError,
            "but at most 1048576",
        ),
        ([picture(jpeg=jpeg_header(65_535, 65_535))], BadVideoError, "65535 x 65535 pixels"),
        ([picture(), picture(jpeg=b"no")], BadVideoError, "picture 2 is no JPEG file"),
    ],
)
def test_pictures_that_cannot_be_are_refused(pictures, error, message):
    with pytest.raises(error, match=message):
        validate_pictures(pictures, SLOTS)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (VideoSource("u", (PlayerBox(0, 0, 1, 1),) * 8), "8 boxes, but slots for 7"),
        (VideoSource("u", (PlayerBox(-1, 0, 1, 1),)), "box 0 is"),
        (VideoSource("u", (PlayerBox(0, 0, 0, 1),)), "box 0 is 0 x 1"),
        (VideoSource("u", interval_s=math.nan), "nan s apart"),
        (VideoSource("u", interval_s=-1), "-1 s apart"),
        (VideoSource("u", interval_s=0.001), "at least 0.02 s"),
        (VideoSource("u", interval_s=math.inf), "inf s apart"),
    ],
)
def test_a_video_that_cannot_be_is_refused(video, message):
    with pytest.raises(BadOptionError, match=message):
        check_video(video, SLOTS)


def test_boxes_lie_in_the_picture():
    check_boxes([PlayerBox(0, 0, 96, 48), PlayerBox(95, 47, 1, 1)], 96, 48)
    with pytest.raises(BadOptionError, match="box 1 reaches beyond the picture of 96 x 48"):
        check_boxes([PlayerBox(0, 0, 96, 48), PlayerBox(95, 47, 2, 1)], 96, 48)


def test_picture_times_follow_the_request_else_the_model():
    assert picture_times_s(VideoSource("u"), 4.0, 10.0) == (0.0, 4.0, 8.0)
    assert picture_times_s(VideoSource("u", interval_s=5.0), 4.0, 10.0) == (0.0, 5.0)
    assert picture_times_s(VideoSource("u"), 4.0, 0.001) == (0.0,)
    with pytest.raises(
        BadOptionError, match=r"20000 pictures .* 10000 of each player, .* at least 2\.44 s apart"
    ):
        picture_times_s(VideoSource("u", (PlayerBox(0, 0, 1, 1),) * 2), 1.0, 10_000.0)
