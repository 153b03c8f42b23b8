"""Pictures of players become vectors, from drawn pictures to the marks of a job: plumbing, not a benefit."""

from argparse import Namespace

import numpy as np
import pytest

from tests.helpers.players import BLUE, GREEN, RED, drawn, write_colour_encoder, write_jpeg, write_video
from ugosa_client.errors import BadInputError
from ugosa_client.video import read_visual_frames
from ugosa_server.cli import main
from ugosa_server.errors import BadOptionError, BadVideoError
from ugosa_server.marks.players import PlayerBox, validate_visual_frames
from ugosa_server.video.commands import make_features
from ugosa_server.video.decode import parse_boxes, read_folder, read_video
from ugosa_server.video.features import open_encoder


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    return write_colour_encoder(tmp_path_factory.mktemp("onnx") / "colours.onnx")


def expected_vector(colour):
    r, g, b = (np.array(colour) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return [r, g, b, (r + g + b) / 3, r - b]


def test_pictures_of_a_folder_become_vectors(tmp_path, encoder_file):
    write_jpeg(tmp_path / "0_0.jpg", drawn(RED))
    write_jpeg(tmp_path / "3_12.5.jpg", drawn(BLUE))
    out = tmp_path / "seen.npz"
    assert (
        main(["video", "features", str(tmp_path), "--encoder", f"onnx:{encoder_file}", "-o", str(out)]) == 0
    )
    frames = read_visual_frames(out, 48_000)
    assert [(seen.player, seen.frame) for seen in frames] == [(0, 0), (3, 600_000)]
    for seen, colour in zip(frames, (RED, BLUE), strict=True):
        np.testing.assert_allclose(
            seen.features and np.frombuffer(seen.features, "<f2"), expected_vector(colour), atol=0.05
        )
    assert len(validate_visual_frames(frames, 7)) == 2


def test_players_are_cut_out_of_a_video_at_the_times_asked_for(tmp_path):
    write_video(tmp_path / "duo.mp4", [drawn(RED, GREEN)] * 6 + [drawn(BLUE, RED)] * 6)  # 3 s
    boxes = parse_boxes("0,0,48,48; 48,0,48,48")
    pictures = list(read_video(tmp_path / "duo.mp4", boxes, [0, 1.25, 2.5, 3.75]))
    assert [(p.player, p.time_s) for p in pictures] == [
        (0, 0),
        (1, 0),
        (0, 1.25),
        (1, 1.25),
        (0, 2.5),
        (1, 2.5),
    ]
    for picture, colour in zip(pictures, (RED, GREEN, RED, GREEN, BLUE, RED), strict=True):
        assert picture.rgb.shape == (48, 48, 3)
        np.testing.assert_allclose(picture.rgb[16:32, 16:32].mean(axis=(0, 1)), colour, atol=12)


def test_a_video_without_boxes_is_one_player(tmp_path):
    write_video(tmp_path / "solo.mp4", [drawn(GREEN)] * 4)
    (picture,) = read_video(tmp_path / "solo.mp4", (), [0, 6])
    assert (picture.player, picture.rgb.shape) == (0, (48, 96, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: list(read_folder(d)), "holds no file PLAYER_SECONDS.jpg"),
        (lambda d: write_jpeg(d / "9_0.jpg", drawn(RED)) or list(read_folder(d)), "9_0.jpg is not PLAYER"),
        (lambda d: (d / "0_1.jpg").write_bytes(b"\xff\xd8 no") and list(read_folder(d)), "0_1.jpg"),
        (
            lambda d: (
                (d / "x.mp4").write_bytes(b"no video") and list(read_video(d / "x.mp4", (), [0], "x.mp4"))
            ),
            "x.mp4",
        ),
        (
            lambda d: (
                write_video(d / "v.mp4", [drawn(RED)] * 2)
                or list(read_video(d / "v.mp4", [PlayerBox(90, 0, 9, 9)], [0]))
            ),
            "box 0 reaches beyond the picture of 96 x 48",
        ),
        (lambda d: make_features(Namespace(every=0.0)), "more than 0 s apart"),
        (lambda d: parse_boxes("1,2,3"), "LEFT,TOP,WIDTH,HEIGHT"),
        (lambda d: parse_boxes(";".join(["0,0,1,1"] * 8)), "slots for 7"),
        (lambda d: open_encoder("gif:x"), "resnet50:FILE or onnx:FILE"),
        (lambda d: open_encoder(f"onnx:{d}/none"), "there is no file"),
        (lambda d: (d / "e").write_bytes(b"junk") and open_encoder(f"onnx:{d}/e"), "no graph"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, make, message):
    with pytest.raises((BadOptionError, BadVideoError), match=message):
        make(tmp_path)


def test_pictures_too_large_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.video.decode.MAX_PIXELS", 96 * 48 - 1)
    write_jpeg(tmp_path / "0_0.jpg", drawn(RED))
    with pytest.raises(BadVideoError, match="96 x 48 pixels; at most 4607"):
        list(read_folder(tmp_path))


@pytest.mark.parametrize("content", [b"junk", b""])
def test_files_of_features_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "seen.npz").write_bytes(content)
    with pytest.raises(BadInputError, match="no file of video features"):
        read_visual_frames(tmp_path / "seen.npz", 44_100)
    np.savez(tmp_path / "odd.npz", player=np.zeros(2), time_s=np.zeros(3), features=np.zeros((2, 4)))
    with pytest.raises(BadInputError, match="must be"):
        read_visual_frames(tmp_path / "odd.npz", 44_100)
