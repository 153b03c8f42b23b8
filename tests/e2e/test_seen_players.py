"""Pictures and videos of players go to a real server, which makes features of them with its own encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.jobs import LONG, silent
from tests.helpers.players import (
    BLUE,
    GREEN,
    RED,
    drawn,
    jpeg_header,
    write_colour_encoder,
    write_jpeg,
    write_video,
)
from tests.helpers.server import Server
from tests.helpers.songs import peak_dbfs, read_audio, write_song
from tests.helpers.tiny_cunet import QUARTET, quartet
from ugosa_client import (
    JobFailedError,
    JobOptions,
    JobState,
    Notice,
    PlayerBox,
    PlayerPicture,
    SeparationRequest,
    Sight,
    UgosaClient,
    VideoInfo,
    VideoSource,
)
from ugosa_client.cli import main
from ugosa_client.errors import BadInputError, BadOptionError, BadVideoError, WrongStateError
from ugosa_client.song import VideoFile
from ugosa_client.uploads import upload_song
from ugosa_client.wire.ugosa.v1 import upload_service_pb2
from ugosa_server.cli import main as server_main

FRAMES = 3 * 44_100
OPTIONS = JobOptions(model="cunet-seeing", instruments=QUARTET)

pytestmark = pytest.mark.xdist_group("server with an encoder")
LEFT, RIGHT = PlayerBox(0, 0, 48, 48), PlayerBox(48, 0, 48, 48)
BOXES = "0,0,48,48;48,0,48,48"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_encoder(tmp_path_factory.mktemp("encoder") / "colours.onnx")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, encoder: Path) -> Iterator[Server]:
    config = encoder.with_name("ugosa.toml")
    config.write_text(f'video_encoder = "onnx:{encoder}"\n')
    with Server(tmp_path_factory.mktemp("state"), model_dir, ["--config", str(config)]) as server:
        server.wait_ready()
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[UgosaClient]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(quartet(FRAMES), tmp_path_factory.mktemp("song") / "quartet.wav")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "duo.mp4", [drawn(RED, GREEN)] * 6 + [drawn(BLUE, RED)] * 6)
    return tmp_path / "duo.mp4"


def stems_of(client: UgosaClient, song: Path, out: Path, sight: Sight | None):
    notices = []
    result = client.separate(
        SeparationRequest(song, options=OPTIONS, sight=sight),
        out,
        on_event=lambda event: notices.append(event) if isinstance(event, Notice) else None,
    )
    stems = {name: read_audio(path) for name, path in result.files.stems.items()}
    np.testing.assert_array_equal(sum(stems.values()), read_audio(song))
    return stems, {notice.reason: notice.message for notice in notices}


def features(pictures: Path, encoder: Path, out: Path, *more: str) -> Sight:
    arguments = ["video", "features", str(pictures), "--encoder", f"onnx:{encoder}", "-o", str(out), *more]
    assert server_main(arguments) == 0
    return Sight(features=out)


def test_pictures_in_the_request_do_what_their_features_do(
    client: UgosaClient, song: Path, encoder: Path, tmp_path: Path
):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write_jpeg(pictures / "0_0.jpg", drawn(RED))
    write_jpeg(pictures / "3_1.5.jpg", drawn(BLUE))
    shown, notices = stems_of(client, song, tmp_path / "shown", Sight(pictures=pictures))
    assert "players are seen: 2 (slots: 0, 3)" in notices["SEEN"]
    as_features, _ = stems_of(
        client, song, tmp_path / "features", features(pictures, encoder, tmp_path / "seen.npz")
    )
    unseen, notices = stems_of(client, song, tmp_path / "unseen", None)
    assert "NO_VIDEO" in notices
    for name in QUARTET:
        np.testing.assert_array_equal(shown[name], as_features[name])
    assert np.abs(shown["cello"] - unseen["cello"]).max() > 1e-3


def test_players_are_cut_out_of_an_uploaded_video(
    server: Server, client: UgosaClient, song: Path, encoder: Path, video: Path, tmp_path: Path
):
    arguments = ["separate", "--server", server.target, str(song), "--model", "cunet-seeing"]
    arguments += ["--instruments", ",".join(QUARTET), "--video", str(video), "--players", BOXES]
    assert main([*arguments, "-o", str(tmp_path / "shown")]) == 0
    sight = features(video, encoder, tmp_path / "seen.npz", "--players", BOXES)
    as_features, _ = stems_of(client, song, tmp_path / "features", sight)
    for name in QUARTET:
        np.testing.assert_array_equal(read_audio(tmp_path / "shown" / f"{name}.wav"), as_features[name])


def test_a_batch_takes_what_is_seen_beside_each_song(
    server: Server, client: UgosaClient, song: Path, video: Path, tmp_path: Path
):
    songs = tmp_path / "songs"
    songs.mkdir()
    (songs / "duo.wav").write_bytes(song.read_bytes())
    (songs / "duo.mp4").write_bytes(video.read_bytes())
    arguments = ["batch", "--server", server.target, str(songs), "--model", "cunet-seeing", "--seen"]
    arguments += ["--instruments", ",".join(QUARTET), "--players", BOXES, "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    sight = Sight(video=video, players=(LEFT, RIGHT))
    alone, _ = stems_of(client, song, tmp_path / "alone", sight)
    np.testing.assert_array_equal(read_audio(tmp_path / "out" / "duo" / "cello.wav"), alone["cello"])


def test_a_video_may_begin_before_the_song(client: UgosaClient, song: Path, video: Path, tmp_path: Path):
    # 1.5 s of it are over when the song begins, so that the first pictures are the second half's.
    late = Sight(video=video, players=(LEFT, RIGHT), every_s=10.0, start_s=-1.5)
    write_video(tmp_path / "half.mp4", [drawn(BLUE, RED)] * 6)
    half = Sight(video=tmp_path / "half.mp4", players=(LEFT, RIGHT), every_s=10.0)
    whole = Sight(video=video, players=(LEFT, RIGHT), every_s=10.0)
    stems = [
        stems_of(client, song, tmp_path / str(i), sight)[0]["cello"]
        for i, sight in enumerate((late, half, whole))
    ]
    assert np.abs(stems[0] - stems[1]).max() < 0.1 * np.abs(stems[0] - stems[2]).max()


def test_a_network_that_sees_is_fine_tuned_with_what_it_sees(
    client: UgosaClient, song: Path, video: Path, tmp_path: Path
):
    mark = silent("violin", 0, 60_000)
    options = replace(OPTIONS, preset="film-only", epochs=1)
    sight = Sight(video=video, players=(LEFT, RIGHT))
    result = client.separate(SeparationRequest(song, marks=[mark], options=options, sight=sight), tmp_path)
    stems = {name: read_audio(path) for name, path in result.files.stems.items()}
    np.testing.assert_array_equal(sum(stems.values()), read_audio(song))
    assert peak_dbfs(stems["violin"][: 60_000 - 441]) <= -90
    assert result.job.options.strategy == "P-L5:D"


def test_a_video_is_kept_for_its_jobs_and_is_no_song(
    client: UgosaClient, song: Path, video: Path, tmp_path: Path
):
    upload = upload_song(client._connection, VideoFile(video))
    assert upload.complete
    assert upload.audio is None
    assert upload.video == VideoInfo(96, 48, "mpeg4")
    with pytest.raises(BadOptionError, match="is a video of players, not a song"):
        client.create_job(upload.upload_id, options=OPTIONS)
    audio = client.upload(song)
    options = replace(OPTIONS, video=VideoSource(upload.upload_id, (LEFT,), 0.5))
    job = client.create_job(audio.upload_id, options=options)
    assert job.options.video == options.video
    assert client.finish(job, tmp_path / "out").job.state is JobState.SUCCEEDED


def test_what_cannot_be_is_refused_before_any_work(
    client: UgosaClient, song: Path, video: Path, tmp_path: Path
):
    audio = client.upload(song)
    seen = upload_song(client._connection, VideoFile(video)).upload_id
    write_jpeg(tmp_path / "0_0.jpg", drawn(RED))
    jpeg = (tmp_path / "0_0.jpg").read_bytes()
    picture = PlayerPicture(0, 0, jpeg)
    for options, error, message in (
        (JobOptions(pictures=(picture,)), BadOptionError, "'tiny' is not conditioned on video"),
        (replace(OPTIONS, pictures=(PlayerPicture(0, 0, b"no"),)), BadVideoError, "is no JPEG file"),
        (replace(OPTIONS, pictures=(picture,), video=VideoSource(seen)), BadOptionError, "not several"),
        (replace(OPTIONS, video=VideoSource(audio.upload_id)), BadOptionError, "is a song, not a video"),
        (replace(OPTIONS, video=VideoSource(seen, (PlayerBox(90, 0, 9, 9),))), BadOptionError, "96 x 48"),
    ):
        with pytest.raises(error, match=message):
            client.create_job(audio.upload_id, options=options)
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:9,\n{video}\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadVideoError, match="cannot be read as pictures"):
        upload_song(client._connection, VideoFile(tmp_path / "list.mp4"))
    with pytest.raises(BadInputError, match="there is no video"):
        client.submit(SeparationRequest(song, options=OPTIONS, sight=Sight(video=tmp_path / "none.mp4")))


def test_pictures_that_cannot_be_decoded_fail_only_their_job(client: UgosaClient, song: Path, tmp_path: Path):
    (tmp_path / "0_0.jpg").write_bytes(jpeg_header(4096, 4096))
    with pytest.raises(JobFailedError, match="picture 1 ") as failure:
        client.separate(
            SeparationRequest(song, options=OPTIONS, sight=Sight(pictures=tmp_path)), tmp_path / "out"
        )
    assert failure.value.reason == "BAD_VIDEO"
    stems_of(client, song, tmp_path / "next", None)


def test_deleting_a_video_that_a_job_waits_for_is_refused(client: UgosaClient, song: Path, video: Path):
    upload = upload_song(client._connection, VideoFile(video))
    audio = client.upload(song)
    busy = client.create_job(audio.upload_id, marks=[silent("vocals", 0, 60_000)], options=LONG)
    options = replace(OPTIONS, video=VideoSource(upload.upload_id, (LEFT, RIGHT)))
    job = client.create_job(audio.upload_id, options=options)
    delete = upload_service_pb2.DeleteUploadRequest(upload_id=upload.upload_id)
    with pytest.raises(WrongStateError, match=f"job {job.job_id} needs upload {upload.upload_id}"):
        client._connection.unary(client._connection.uploads.DeleteUpload, delete)
    for job_id in (job.job_id, busy.job_id):
        client.cancel(job_id)
        list(client.watch(job_id))
    client._connection.unary(client._connection.uploads.DeleteUpload, delete)
