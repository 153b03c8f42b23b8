"""Pictures of strangers are decoded in a child process: what upsets a decoder costs one child."""

import asyncio

import numpy as np
import psutil
import pytest

from tests.helpers.players import BLUE, GREEN, RED, drawn, jpeg_header, write_jpeg, write_video
from ugosa_server.errors import BadOptionError, BadVideoError
from ugosa_server.marks.players import PlayerBox, VideoInfo
from ugosa_server.video import jpeg_pictures, probe_in_child, video_pictures


def never():
    pass


def jpeg(path, picture):
    write_jpeg(path, picture)
    return path.read_bytes()


def test_jpeg_files_come_out_in_order_and_scaled(tmp_path):
    files = [jpeg(tmp_path / f"{i}.jpg", drawn(colour)) for i, colour in enumerate((RED, GREEN))]
    shown = list(jpeg_pictures(files, 20, 10, never))
    assert [picture.rgb.shape for picture in shown] == [(10, 20, 3)] * 2
    for picture, colour in zip(shown, (RED, GREEN), strict=True):
        np.testing.assert_allclose(picture.rgb.mean(axis=(0, 1)), colour, atol=12)


def test_players_are_cut_out_of_a_video(tmp_path):
    write_video(tmp_path / "v.mp4", [drawn(RED, GREEN)] * 4 + [drawn(BLUE, RED)] * 4)  # 2 s
    boxes = (PlayerBox(0, 0, 48, 48), PlayerBox(48, 0, 48, 48))
    shown = list(video_pictures(str(tmp_path / "v.mp4"), boxes, [0.25, 1.5, 9.0], 8, 8, never))
    assert [(p.player, p.time_s) for p in shown] == [(0, 0.25), (1, 0.25), (0, 1.5), (1, 1.5)]
    for picture, colour in zip(shown, (RED, GREEN, BLUE, RED), strict=True):
        np.testing.assert_allclose(picture.rgb[2:6, 2:6].mean(axis=(0, 1)), colour, atol=12)
    assert list(video_pictures(str(tmp_path / "v.mp4"), boxes, [], 8, 8, never)) == []


def test_what_cannot_be_decoded_is_refused_and_leaves_no_process(tmp_path):
    before = psutil.Process().children()
    whole = jpeg(tmp_path / "a.jpg", drawn(RED))
    write_video(tmp_path / "v.mp4", [drawn(RED)] * 2)
    for hostile in (jpeg_header(4096, 4096), b"\xff\xd8 no", b""):
        with pytest.raises(BadVideoError, match="picture 2 "):
            list(jpeg_pictures([whole, hostile], 8, 8, never))
    with pytest.raises(BadOptionError, match="box 0 reaches beyond"):
        list(video_pictures(str(tmp_path / "v.mp4"), [PlayerBox(90, 0, 9, 9)], [0.0], 8, 8, never))
    with pytest.raises(BadVideoError, match="the video cannot be read as pictures") as refusal:
        list(video_pictures(str(tmp_path / "a.jpg"), (), [0.0], 8, 8, never))
    assert str(tmp_path) not in refusal.value.message
    assert psutil.Process().children() == before


def test_a_decoder_that_dies_is_an_error_of_the_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.video.child.CPU_S", 0)  # killed as soon as it computes
    with pytest.raises(BadVideoError, match=r"their decoder crashed \(SIG(XCPU|KILL)\)"):
        list(jpeg_pictures([jpeg(tmp_path / "a.jpg", drawn(RED))] * 200, 64, 64, never))


class StoppedError(Exception):
    """Error that a cancel raises."""


def test_a_cancel_is_seen_between_pictures_and_ends_the_child(tmp_path):
    before = psutil.Process().children()
    files = [jpeg(tmp_path / "a.jpg", drawn(RED))] * 5
    asked = iter(range(1000))

    def check():
        if next(asked) > 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        list(jpeg_pictures(files, 64, 64, check))
    assert psutil.Process().children() == before


def probe(path):
    return asyncio.run(probe_in_child(path, 60.0))


def test_an_uploaded_video_says_what_it_is(tmp_path):
    write_video(tmp_path / "v.mp4", [drawn(RED)] * 2)
    assert probe(tmp_path / "v.mp4") == VideoInfo(96, 48, "mpeg4")


def test_an_uploaded_playlist_opens_no_file_of_this_machine(tmp_path):
    write_video(tmp_path / "secret.ts", [drawn(RED)] * 8)
    playlists = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{tmp_path}/secret.ts'\n",
        "jpg": None,
    }
    for suffix, text in playlists.items():
        path = tmp_path / f"bytes.{suffix}"
        if text is None:
            write_jpeg(path, drawn(RED))
        else:
            path.write_text(text)
        with pytest.raises(BadVideoError, match="the video cannot be read as pictures") as refusal:
            probe(path)
        assert str(tmp_path) not in refusal.value.message
