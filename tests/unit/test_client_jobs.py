"""Jobs are asked after and watched without missing anything."""

from dataclasses import fields, replace

import numpy as np
import pytest
import soundfile

from tests.helpers.breaking_server import breaking_server, progress_events
from ugosa_client import (
    BaseStems,
    JobOptions,
    JobState,
    Mark,
    MarkState,
    MaskKind,
    PlayerBox,
    Progress,
    SeparationRequest,
    StateChanged,
    StemEncoding,
    TimedMark,
    VideoSource,
)
from ugosa_client.convert import from_options, to_resource
from ugosa_client.errors import (
    BadInputError,
    BadRegionError,
    JobStartedError,
    MarksFileError,
    NotFoundError,
    ServerUnavailableError,
    UnknownModelError,
)
from ugosa_client.wire.ugosa.v1 import job_pb2

ALL_OPTIONS = JobOptions(
    model="m",
    preset="low-rate",
    strategy="P-L3:D",
    silence_weight=2.0,
    learning_rate=1e-4,
    epochs=0,
    segment_s=4.0,
    hop_s=1.0,
    batch_size=2,
    pitch_shifts=1,
    remix_weight=2.0,
    marks_weight=0.0,
    max_steps=100,
    max_s=60.0,
    guard=False,
    calibration=False,
    start_from="job-1",
    max_memory_bytes=2**40,
    seed=-1,
    separation_segment_s=8.0,
    overlap=0.0,
    shifts=0,
    wiener_exponent=0.8,
    mask_kind=MaskKind.HARD,
    video=VideoSource("u", (PlayerBox(1, 2, 3, 4),), 0.5, -44_100),
    stem_encoding=StemEncoding.FLAC_PCM24,
    base_stems=BaseStems.EARLY,
    preview_start_frame=0,
    preview_end_frame=1,
    excerpt=False,
)


@pytest.fixture
def server_and_client(tmp_path):
    with breaking_server(tmp_path) as pair:
        yield pair


def test_every_option_survives_the_wire_and_absent_stays_absent():
    assert None not in [getattr(ALL_OPTIONS, field.name) for field in fields(JobOptions)]
    assert to_resource(JobOptions, from_options(ALL_OPTIONS)) == ALL_OPTIONS
    assert to_resource(JobOptions, from_options(JobOptions())) == JobOptions()
    assert len(job_pb2.JobOptions.DESCRIPTOR.fields) == len(fields(JobOptions))


def test_a_watch_yields_each_event_once_over_breaks(server_and_client):
    server, client = server_and_client
    server.jobs["j"] = job_pb2.Job(job_id="j", state=job_pb2.JOB_STATE_RUNNING)
    server.events["j"] = progress_events("j", 20)
    server.breaks = [3, 0, 0, 5, 1, 0]
    events = list(client.watch("j"))
    assert [event.seq for event in events] == list(range(1, 21))
    assert server.starts == [0, 3, 3, 3, 8, 9, 9]
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], StateChanged)
    assert events[-1].state is JobState.SUCCEEDED


def test_a_watch_goes_on_after_the_given_event(server_and_client):
    server, client = server_and_client
    server.jobs["j"] = job_pb2.Job(job_id="j", state=job_pb2.JOB_STATE_RUNNING)
    server.events["j"] = progress_events("j", 5)
    assert [event.seq for event in client.watch("j", after_seq=3)] == [4, 5]
    assert list(client.watch("j", after_seq=5)) == []


def test_a_watch_gives_up_after_failures_without_any_event(server_and_client):
    server, client = server_and_client
    server.jobs["j"] = job_pb2.Job(job_id="j", state=job_pb2.JOB_STATE_RUNNING)
    server.events["j"] = progress_events("j", 5)
    server.breaks = [2] + [0] * 10
    watched = []
    with pytest.raises(ServerUnavailableError):
        watched.extend(client.watch("j"))
    assert server.starts == [0, 2, 2, 2]


def test_a_unary_call_is_repeated_while_a_known_server_is_away(server_and_client):
    server, client = server_and_client
    assert [model.name for model in client.models()] == ["tiny"]
    server.unary_breaks = 3
    assert [model.name for model in client.models()] == ["tiny"]
    server.unary_breaks = 4
    with pytest.raises(ServerUnavailableError, match="connection lost"):
        client.models()


def test_listing_asks_for_further_pages_by_itself(server_and_client):
    server, client = server_and_client
    for number in range(7):
        state = job_pb2.JOB_STATE_QUEUED if number % 2 else job_pb2.JOB_STATE_FAILED
        server.jobs[f"j{number}"] = job_pb2.Job(job_id=f"j{number}", state=state)
    assert [job.job_id for job in client.list_jobs(page_size=3)] == [f"j{number}" for number in range(7)]
    failed = client.list_jobs([JobState.FAILED], page_size=3)
    assert [job.job_id for job in failed] == ["j0", "j2", "j4", "j6"]


def test_marks_and_options_reach_the_job(server_and_client):
    _, client = server_and_client
    upload_id = client.upload(np.zeros(10, "float32"), sample_rate_hz=44100).upload_id
    marks = (Mark("vocals", MarkState.SILENT, 0, 100), Mark("drums", MarkState.ACTIVE, 50, 2**40))
    job = client.create_job(upload_id, marks=marks, options=ALL_OPTIONS, request_id="r")
    assert (job.marks, job.options, job.request_id, job.queue_position) == (marks, ALL_OPTIONS, "r", 1)
    assert client.create_job(upload_id, marks=marks, options=ALL_OPTIONS, request_id="r").job_id == job.job_id
    assert client.set_marks(job.job_id, marks[:1]).marks == marks[:1]
    client.cancel(job.job_id)
    with pytest.raises(JobStartedError, match="the job has started"):
        client.set_marks(job.job_id, marks)
    client.delete(job.job_id)
    with pytest.raises(NotFoundError, match=f"no job '{job.job_id}'"):
        client.get_job(job.job_id)


def test_a_marks_file_is_read_in_frames_of_the_servers_decoding(server_and_client, tmp_path):
    _, client = server_and_client
    song, marks = tmp_path / "song.mp3", tmp_path / "song.txt"
    song.write_bytes(b"bytes that only the server decodes")
    marks.write_text("0.25\t0.5\tonly kit\n")
    job = client.submit(SeparationRequest(song, marks=marks))
    assert set(job.marks) == {
        Mark("drums", MarkState.ACTIVE, 11025, 22050),
        *(Mark(source, MarkState.SILENT, 11025, 22050) for source in ("bass", "other", "vocals")),
    }


def test_marks_in_seconds_become_frames_of_the_song(server_and_client, tmp_path):
    _, client = server_and_client
    song = tmp_path / "song.mp3"  # its length is the server's to say
    song.write_bytes(b"an MP3")
    in_frames = Mark("bass", MarkState.SILENT, 3, 7)
    in_seconds = [Mark.silent("vox", 0.0, 0.5), Mark.active("drums", 0.25, 1)]
    job = client.submit(SeparationRequest(song, marks=[in_frames, *in_seconds]))
    rate = 44100
    assert set(job.marks) == {
        Mark("vocals", MarkState.SILENT, 0, rate // 2),
        in_frames,
        Mark("drums", MarkState.ACTIVE, rate // 4, rate),
    }
    assert Mark.silent("vocals", 0.1, 12.5).at_rate(48000) == Mark("vocals", MarkState.SILENT, 4800, 600000)


def test_marks_of_a_generator_count_and_no_marks_are_refused(server_and_client, tmp_path):
    server, client = server_and_client
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((100, 2)), 100)
    for no_mark in (("vocals", 0, 1), {"source": "vocals"}, "no vocals"):
        with pytest.raises(BadInputError, match=r"is no mark; write Mark\.silent"):
            client.submit(SeparationRequest(song, marks=[no_mark]))
    assert not server.uploads
    marks = (Mark.silent(source, 0, 1) for source in ("drums", "bass"))
    assert {mark.source for mark in client.submit(SeparationRequest(song, marks=marks)).marks} == {
        "drums",
        "bass",
    }


def test_words_and_numbers_of_a_plain_script_are_understood(server_and_client, tmp_path):
    _server, client = server_and_client
    song = tmp_path / "song.mp3"
    song.write_bytes(b"an MP3")
    timed = TimedMark("vocals", "active", np.float32(0.25), np.int64(1))
    framed = Mark("bass", "silent", np.int64(3), 7)
    options = JobOptions(stem_encoding="flac-pcm24", base_stems="kept")
    job = client.submit(SeparationRequest(song, marks=[timed, framed], options=options))
    assert set(job.marks) == {
        Mark("vocals", MarkState.ACTIVE, 11025, 44100),
        Mark("bass", MarkState.SILENT, 3, 7),
    }
    assert job.options.stem_encoding is StemEncoding.FLAC_PCM24
    assert timed.at_rate(4) == Mark("vocals", "active", 1, 4)
    assert list(client.list_jobs(["queued"])) == list(client.list_jobs([JobState.QUEUED]))


def test_slips_of_a_plain_script_are_named(server_and_client, tmp_path):
    _server, client = server_and_client
    song = tmp_path / "song.mp3"
    song.write_bytes(b"an MP3")

    def refused(says, call):
        with pytest.raises(BadInputError, match=says):
            call()

    refused(
        "mp3.*it is one of wav-float32, ",
        lambda: client.create_job("u", options=JobOptions(stem_encoding="mp3")),
    )
    refused(r"at_rate\(upload", lambda: client.create_job("u", marks=[Mark.silent("vocals", 0, 1)]))
    refused("it is one of active, silent", lambda: client.create_job("u", marks=[Mark("bass", "mute", 0, 1)]))
    timed = TimedMark("vocals", "mute", 0, 1)
    refused("'mute' is not a valid", lambda: client.submit(SeparationRequest(song, marks=[timed])))
    refused("it is one of queued, ", lambda: list(client.list_jobs("queued")))
    refused("44100.5; give an int", lambda: client.upload(np.zeros(9), sample_rate_hz=44100.5))
    refused("not of type list", lambda: client.upload([0.0, 0.1], sample_rate_hz=44100))


def test_the_rest_comes_with_the_chosen_stems_unasked(server_and_client, tmp_path):
    _server, client = server_and_client
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((100, 2)), 100)
    asked = SeparationRequest(song, options=JobOptions(stems=("vox", "Rest")))
    assert client.submit(asked).options.stems == ("vocals",)
    with pytest.raises(BadInputError, match="the rest is what others leave"):
        client.submit(SeparationRequest(song, options=JobOptions(stems=("rest",))))


def test_slips_of_marks_in_seconds_are_listed_before_the_upload(server_and_client, tmp_path):
    server, client = server_and_client
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((100, 2)), 100)
    marks = [Mark.silent("vocls", 0, 1), Mark.silent("drums, bass", 0, 1), Mark.active("bass", 0.5, 48)]
    marks += [Mark.silent("bass", float("nan"), 1)]
    with pytest.raises(MarksFileError, match="the list of marks has 4 slips") as refused:
        client.submit(SeparationRequest(song, marks=marks))
    for slip in (
        "did you mean 'vocals'",
        "source 'drums, bass'",
        "ends at 0:48.0, but the song ends at 0:01.0",
        "NaN",
    ):
        assert slip in str(refused.value)
    assert not server.uploads


def test_bad_marks_of_a_lossless_song_refuse_the_upload(server_and_client, tmp_path):
    server, client = server_and_client
    song, marks = tmp_path / "song.wav", tmp_path / "song.txt"
    soundfile.write(song, np.zeros((100, 2)), 100)
    marks.write_text("0.25\t1.5\tno vocals\n")
    with pytest.raises(MarksFileError, match=r"ends at 0:01\.5, but the song ends at 0:01\.0"):
        client.submit(SeparationRequest(song, marks=marks))
    with pytest.raises(UnknownModelError, match="'huge'; its models: tiny"):
        client.submit(SeparationRequest(song, options=replace(ALL_OPTIONS, model="huge")))
    with pytest.raises(UnknownModelError, match=r"did you mean 'tiny'\? Its models: tiny"):
        client.submit(SeparationRequest(song, options=JobOptions(model="tny")))
    assert server.uploads == {}


def test_a_mark_that_the_protocol_cannot_carry_is_named(server_and_client):
    _, client = server_and_client
    with pytest.raises(BadRegionError, match=f"end_frame={2**63}.* cannot be sent"):
        client.create_job("u1", marks=[Mark("drums", MarkState.SILENT, 0, 2**63)])
