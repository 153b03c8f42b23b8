"""Any bytes given as pictures, as a video or as what is to be seen are used or refused in words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.test_fuzz_requests import parsed
from tests.helpers.mutations import hostile
from tests.helpers.players import BLUE, GREEN, RED, drawn, write_jpeg, write_video
from tests.helpers.tiny_cunet import FILM, write_tiny_cunet
from ugosa_server.errors import BadVideoError, UgosaError
from ugosa_server.jobs.options import resolve_job_options
from ugosa_server.marks.players import MAX_PICTURE_PIXELS, jpeg_size
from ugosa_server.models.registry import read_model_info
from ugosa_server.rpc.convert import options_from_wire, options_to_wire
from ugosa_server.video.decode import probe_video, read_jpegs, read_video
from ugosa_server.wire.ugosa.v1 import job_pb2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def jpeg(folder):
    write_jpeg(folder / "p.jpg", drawn(RED, BLUE, 16, 16))
    return (folder / "p.jpg").read_bytes()


@pytest.fixture(scope="module")
def video(folder):
    write_video(folder / "whole.mp4", [drawn(RED, GREEN, 32, 32)] * 3)
    return (folder / "whole.mp4").read_bytes()


@pytest.fixture(scope="module")
def model(folder):
    return read_model_info(write_tiny_cunet(folder / "seeing.safetensors", replace(FILM, context="frame")))


@given(data=st.data())
def test_any_bytes_are_a_picture_or_refused_as_one(jpeg, data):
    content = data.draw(hostile([jpeg]))
    try:
        width, height = jpeg_size(content, "p")
    except BadVideoError:
        return
    assert min(width, height) >= 1
    assert max(width, height) < 2**16
    if width * height > MAX_PICTURE_PIXELS:
        return
    try:
        (picture,) = read_jpegs([content])
    except BadVideoError as error:
        assert error.message.startswith("picture 1 ")
    else:
        assert picture.rgb.dtype == np.uint8
        assert picture.rgb.shape[2] == 3


@given(data=st.data())
def test_any_bytes_are_a_video_or_refused_as_one(folder, video, data):
    path = folder / "bytes"
    path.write_bytes(data.draw(hostile([video])))
    try:
        info = probe_video(path)
        pictures = list(read_video(path, (), (0.0, 0.5)))
    except BadVideoError as error:
        assert error.message
    else:
        assert info.width * info.height > 0
        assert len(pictures) <= 2


@given(data=st.data())
def test_any_sight_is_taken_or_refused(model, jpeg, data):
    shown = job_pb2.PlayerPicture(player=1, frame=2, jpeg=jpeg)
    source = job_pb2.VideoSource(upload_id="u", every_seconds=0.5, start_frame=-3)
    source.players.add(left=1, top=2, width=3, height=4)
    seeds = [job_pb2.JobOptions(pictures=[shown]), job_pb2.JobOptions(video=source)]
    message = parsed(
        job_pb2.JobOptions, data.draw(hostile([seed.SerializeToString(deterministic=True) for seed in seeds]))
    )
    if message is None:
        return
    try:
        options = resolve_job_options(options_from_wire(message), model)
    except UgosaError as error:
        assert error.message
    else:
        told = replace(options, pictures=(), visual_frames=())
        assert resolve_job_options(options_from_wire(options_to_wire(options)), model) == told
