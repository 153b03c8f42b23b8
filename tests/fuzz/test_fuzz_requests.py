"""Any request, configuration or name is understood or refused by an error that explains itself."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.mutations import hostile
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.config import ServerConfig, load_config
from ugosa_server.errors import BadOptionError, ConfigError, UgosaError
from ugosa_server.jobs.model import check_request_id, request_digest
from ugosa_server.jobs.options import resolve_job_options
from ugosa_server.jobs.runs import JobOptions
from ugosa_server.marks import validate_marks
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.registry import read_model_info
from ugosa_server.rpc.convert import (
    marks_from_wire,
    marks_to_wire,
    options_from_wire,
    options_to_wire,
    upload_format_from_wire,
    upload_format_to_wire,
)
from ugosa_server.wire.ugosa.v1 import audio_pb2, job_pb2, marks_pb2

FRAMES = 100_000
OPTIONS = job_pb2.JobOptions(
    model="tiny",
    preset="paper",
    strategy="P-L3:D",
    silence_weight=1.0,
    learning_rate=1e-5,
    epochs=10,
    segment_seconds=4.0,
    hop_seconds=1.0,
    batch_size=1,
    separation_segment_seconds=8.0,
    separation_overlap=0.25,
    separation_shifts=0,
    wiener_exponent=1.0,
    mask_kind=job_pb2.MASK_KIND_SOFT,
    stem_encoding=job_pb2.STEM_ENCODING_WAV_FLOAT32,
    seed=1,
)
MARKS = marks_pb2.Marks(
    marks=[
        marks_pb2.Mark(source="vocals", state=marks_pb2.MARK_STATE_SILENT, start_frame=0, end_frame=900),
        marks_pb2.Mark(source="bass", state=marks_pb2.MARK_STATE_ACTIVE, start_frame=5, end_frame=FRAMES),
    ]
)
FORMATS = [
    audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="../../etc/passwd")),
    audio_pb2.AudioFormat(video=audio_pb2.VideoFormat(file_name="concert.mp4")),
    audio_pb2.AudioFormat(
        pcm=audio_pb2.PcmFormat(encoding=audio_pb2.PCM_ENCODING_S16LE, sample_rate_hz=44100, channels=2)
    ),
]


def parsed(kind, data):
    """The message of these bytes, as gRPC would hand it over; None when it would refuse them itself."""
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, tiny_network().state_dict(), TINY)
    return read_model_info(path)


@given(data=hostile([OPTIONS.SerializeToString(deterministic=True)]))
def test_any_options_are_resolved_or_refused(model, data):
    message = parsed(job_pb2.JobOptions, data)
    if message is None:
        return
    try:
        request = options_from_wire(message)
        request_digest(request)
        options = resolve_job_options(request, model)
    except UgosaError as error:
        assert error.message
    else:
        assert isinstance(options, JobOptions)
        assert resolve_job_options(options_from_wire(options_to_wire(options)), model) == options


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 5e-324, 1e308])


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "silence_weight": numbers,
            "learning_rate": numbers,
            "segment_seconds": numbers,
            "hop_seconds": numbers,
            "separation_segment_seconds": numbers,
            "separation_overlap": numbers,
            "epochs": st.integers(-(2**31), 2**31 - 1),
            "batch_size": st.integers(-(2**31), 2**31 - 1),
        },
    )
)
def test_any_numbers_are_in_their_range_or_refused(model, values):
    fields = job_pb2.JobOptions.DESCRIPTOR.fields_by_name
    kept = {
        name: abs(value) if fields[name].cpp_type == fields[name].CPPTYPE_UINT32 else value
        for name, value in values.items()
    }
    try:
        options = resolve_job_options(options_from_wire(job_pb2.JobOptions(**kept)), model)
    except UgosaError as error:
        assert error.message
    else:
        assert options.adaptation.learning_rate > 0
        assert 0 <= options.separation.overlap < 1


@given(data=hostile([MARKS.SerializeToString(deterministic=True)]))
def test_any_marks_are_valid_or_refused(data):
    message = parsed(marks_pb2.Marks, data)
    if message is None:
        return
    try:
        marks = validate_marks(marks_from_wire(message), TINY.sources, FRAMES)
    except UgosaError as error:
        assert error.message
    else:
        assert all(0 <= mark.start_frame < mark.end_frame <= FRAMES for mark in marks)
        assert marks_from_wire(marks_to_wire(marks)) == marks


@given(data=hostile([message.SerializeToString(deterministic=True) for message in FORMATS]))
def test_any_format_is_understood_or_refused(data):
    message = parsed(audio_pb2.AudioFormat, data)
    if message is None:
        return
    try:
        upload_format = upload_format_from_wire(message)
    except UgosaError as error:
        assert error.message
    else:
        assert upload_format.file_name.isprintable()
        assert upload_format_from_wire(upload_format_to_wire(upload_format)) == upload_format


@given(text=st.text(max_size=200))
def test_a_request_id_is_short_and_printable_or_refused(text):
    try:
        assert check_request_id(text) == text
    except BadOptionError:
        assert not (text.isascii() and text.isprintable() and 1 <= len(text) <= 128)


SETTINGS = (
    b'listen = ["127.0.0.1:50051"]\nthreads = 4\nkeep_jobs_days = 1.5\nosc_peers = []\nlog_level = "INFO"\n'
)


@given(data=hostile([SETTINGS]))
def test_any_configuration_is_one_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "ugosa.toml"
    path.write_bytes(data)
    try:
        assert isinstance(load_config(path, {}), ServerConfig)
    except ConfigError as error:
        assert str(path) in error.message or "log_level" in error.message
