"""Where players are seen, as files on this disk and as options of a command."""

import argparse

import pytest

from ugosa_client.cli.batch import video_places
from ugosa_client.cli.batch_files import SongTree
from ugosa_client.cli.batch_work import batch_request_id
from ugosa_client.cli.separate import add_sight, add_video_places, sight_of
from ugosa_client.errors import BadInputError
from ugosa_client.resources import JobOptions, PlayerBox, PlayerPicture
from ugosa_client.video import Sight, parse_boxes, read_pictures


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_sight(parser)
    return sight_of(parser.parse_args(arguments))


def test_pictures_of_a_folder_say_who_and_when(tmp_path):
    (tmp_path / "3_0.5.JPG").write_bytes(b"b")
    (tmp_path / "0_12.jpg").write_bytes(b"a")
    (tmp_path / "notes.txt").write_bytes(b"")
    assert read_pictures(tmp_path, 1000) == (PlayerPicture(0, 12_000, b"a"), PlayerPicture(3, 500, b"b"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("x.jpg", "x.jpg is not PLAYER_SECONDS.jpg"), ("x.png", "holds no file PLAYER_SECONDS.jpg")],
)
def test_other_pictures_are_refused(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"a")
    with pytest.raises(BadInputError, match=message):
        Sight(pictures=tmp_path).check()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="cannot read the pictures in"):
        Sight(pictures=tmp_path / "none").check()


def test_places_of_players():
    assert parse_boxes("0,0,640,720; 640,0,640,720") == (
        PlayerBox(0, 0, 640, 720),
        PlayerBox(640, 0, 640, 720),
    )
    with pytest.raises(BadInputError, match=r"LEFT,TOP,WIDTH,HEIGHT in pixels, got '1,2,3'"):
        parse_boxes("0,0,1,1;1,2,3")


def test_one_file_says_what_is_seen(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"v")
    Sight(video=tmp_path / "v.mp4", players=(PlayerBox(0, 0, 1, 1),)).check()
    for sight in (Sight(), Sight(features="a.npz", video="v.mp4")):
        with pytest.raises(BadInputError, match="one of features, pictures and video"):
            sight.check()
    with pytest.raises(BadInputError, match="are those of a video; give one"):
        Sight(pictures=tmp_path, every_s=1.0).check()


@pytest.mark.parametrize("times", [("--video-start", "nan"), ("--video-every", "inf")])
def test_bad_times_are_refused_before_the_video_is_sent(tmp_path, times):
    (tmp_path / "v.mp4").write_bytes(b"v")
    with pytest.raises(BadInputError, match=f"{times[1]} is no number of seconds"):
        parsed("--video", str(tmp_path / "v.mp4"), *times).check()


def test_the_command_line_says_the_same(tmp_path):
    assert parsed() is None
    assert parsed("--video-frames", "d") == Sight(pictures="d")
    assert parsed("--video-features", "f.npz") == Sight(features="f.npz")
    video = parsed("--video", "v.mp4", "--players", "0,0,5,6", "--video-every", "2", "--video-start", "-1.5")
    assert video == Sight(video="v.mp4", players=(PlayerBox(0, 0, 5, 6),), every_s=2.0, start_s=-1.5)
    with pytest.raises(SystemExit):
        parsed("--video", "v.mp4", "--video-frames", "d")
    with pytest.raises(BadInputError, match="one of features, pictures and video"):
        parsed("--players", "0,0,5,6").check()


def test_a_batch_finds_what_is_seen_beside_each_song(tmp_path):
    places = Sight(players=(PlayerBox(0, 0, 5, 6),), every_s=2.0)
    for name in ("a.npz", "C.MP4", "a.wav", "b.wav", "c.wav", "d.wav"):
        (tmp_path / name).write_bytes(b"a")
    (tmp_path / "b.frames").mkdir()
    tree = SongTree(tmp_path, recursive=False, out=tmp_path / "out")
    a, b, c, d = tree.songs()
    seen = [tree.sight(song, places) for song in (a, b, c, d)]
    assert seen == [
        Sight(features=tmp_path / "a.npz"),
        Sight(pictures=tmp_path / "b.frames"),
        Sight(video=tmp_path / "C.MP4", players=places.players, every_s=2.0),
        None,
    ]
    (tmp_path / "c.npz").write_bytes(b"c")
    with pytest.raises(BadInputError, match=r"c.wav has several things to see: c.npz and C.MP4; keep one"):
        SongTree(tmp_path, recursive=False, out=tmp_path / "out").sight(c, places)


def test_another_thing_seen_is_another_job_of_a_batch(tmp_path):
    video = tmp_path / "c.mp4"
    pictures = tmp_path / "c.frames"
    pictures.mkdir()
    seen = set()
    for content in (b"1", b"2"):
        video.write_bytes(content)
        (pictures / "0_1.jpg").write_bytes(content)
        for sight in (None, Sight(video=video), Sight(video=video, every_s=1.0), Sight(pictures=pictures)):
            seen.add(batch_request_id("00", None, JobOptions(), sight))
            assert batch_request_id("00", None, JobOptions(), sight) in seen
    assert len(seen) == 1 + 2 * 3


def test_places_in_videos_want_videos_to_be_looked_at():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seen", action="store_true")
    add_video_places(parser.add_argument_group())
    assert video_places(parser.parse_args([])) is None
    assert video_places(parser.parse_args(["--seen", "--players", "0,0,5,6"])) == Sight(
        players=(PlayerBox(0, 0, 5, 6),)
    )
    with pytest.raises(BadInputError, match="add --seen"):
        video_places(parser.parse_args(["--video-every", "3"]))
