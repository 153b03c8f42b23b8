"""A song arrives whole, whatever breaks on the way."""

import hashlib
import os
import random
from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile

from tests.helpers.breaking_server import breaking_server
from tests.helpers.encoded import encode, tones, without_count
from ugosa_client.errors import (
    BadAudioError,
    BadInputError,
    IntegrityError,
    RequestIdConflictError,
    ServerUnavailableError,
    TransferInterruptedError,
    WrongStateError,
)
from ugosa_client.jobs import create_job
from ugosa_client.separate import SeparationRequest
from ugosa_client.song import CHUNK_BYTES, FileSong, lossless_length, open_song
from ugosa_client.stretch import open_for_cutting
from ugosa_client.uploads import song_chunks
from ugosa_client.wire.ugosa.v1 import audio_pb2, upload_service_pb2


@pytest.fixture
def server_and_client(tmp_path):
    with breaking_server(tmp_path) as pair:
        yield pair


@pytest.fixture
def song(tmp_path):
    """Five and a half chunks of bytes, under a name with spaces and non-ASCII letters."""
    path = tmp_path / "Mein Stück 日本.wav"
    path.write_bytes(random.Random(0).randbytes(5 * CHUNK_BYTES + CHUNK_BYTES // 2))
    return path


def stored(server):
    (upload,) = server.uploads.values()
    return bytes(upload.data)


def test_a_song_arrives_byte_for_byte(server_and_client, song):
    server, client = server_and_client
    acknowledged = []
    upload = client.upload(song, on_progress=lambda done, total: acknowledged.append((done, total)))
    assert stored(server) == song.read_bytes()
    assert upload.complete
    assert upload.sha256 == hashlib.sha256(song.read_bytes()).hexdigest()
    assert upload.audio.sample_rate_hz == 44100
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == (song.stat().st_size, song.stat().st_size)


def test_an_upload_resumes_at_the_committed_size(server_and_client, song):
    server, client = server_and_client
    server.breaks = [2, 0, 1]
    client.upload(song)
    assert stored(server) == song.read_bytes()
    # Before each break, the server has stored one chunk more than it acknowledged.
    assert server.starts == [0, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]


@pytest.mark.parametrize("reason", ["OFFSET_MISMATCH", "CRC_MISMATCH", "UPLOAD_BUSY"])
def test_an_aborted_upload_goes_on_from_the_durable_bytes(server_and_client, song, reason):
    server, client = server_and_client
    server.breaks, server.refusals = [2], [(grpc.StatusCode.ABORTED, reason)]
    assert client.upload(song).complete
    assert stored(server) == song.read_bytes()
    assert server.starts[0] == 0
    assert server.starts[1] > 0


def test_a_break_after_the_last_chunk_sends_nothing_twice(server_and_client, song):
    server, client = server_and_client
    server.breaks = [7]  # open and six chunks are answered, finish is not
    assert client.upload(song).complete
    assert len(server.starts) == 1


def test_another_process_goes_on_where_the_first_one_ended(server_and_client, song):
    server, client = server_and_client
    server.breaks = [3] + [0] * 20
    with pytest.raises(ServerUnavailableError):
        client.upload(song)
    server.breaks, server.starts = [], []
    assert client.upload(song).complete
    assert server.starts[0] > 0
    assert stored(server) == song.read_bytes()
    server.starts = []
    assert client.upload(song).complete
    assert server.starts == [], "a complete song is not sent again"


def test_attempts_without_progress_are_bounded(server_and_client, song):
    server, client = server_and_client
    server.breaks, server.refusals = [1] * 20, [(grpc.StatusCode.ABORTED, "UPLOAD_BUSY")] * 20
    server._write = lambda requests, context: iter([upload_service_pb2.WriteUploadResponse()] * 2)
    with pytest.raises(TransferInterruptedError, match="refused with UPLOAD_BUSY") as caught:
        client.upload(song)
    assert caught.value.reason == "UPLOAD_BUSY"
    assert len(server.breaks) == 16


def test_wrong_bytes_are_an_integrity_error(server_and_client, song, monkeypatch):
    _, client = server_and_client
    opened = FileSong(song)
    assert opened.sha256 == hashlib.sha256(song.read_bytes()).hexdigest()
    song_bytes = bytearray(song.read_bytes())

    def read_another_take(self, offset, size):
        return bytes(reversed(song_bytes))[offset : offset + size]

    monkeypatch.setattr(FileSong, "read", read_another_take)
    with pytest.raises(IntegrityError, match="the bytes differ"):
        client.upload(song)


def test_a_song_that_decayed_at_the_server_is_sent_once_more(server_and_client, song):
    server, client = server_and_client
    server.decays = 1
    assert client.submit(SeparationRequest(song)).upload_id
    assert server.starts == [0, 0]
    assert stored(server) == song.read_bytes()
    server.decays = 2
    with pytest.raises(WrongStateError, match="gone or damaged"):
        client.submit(SeparationRequest(song))


def test_a_song_that_was_just_deleted_is_sent_once_more(server_and_client, song, monkeypatch):
    server, client = server_and_client
    first = client.upload(song).upload_id

    def create_job_once_it_is_deleted(connection, upload_id, **options):
        if upload_id == first:  # by another client, between two calls of this one
            client.delete_upload(upload_id)
        return create_job(connection, upload_id, **options)

    monkeypatch.setattr("ugosa_client.separate.create_job", create_job_once_it_is_deleted)
    assert client.submit(SeparationRequest(song)).upload_id != first
    assert stored(server) == song.read_bytes()


def test_a_song_that_shrinks_while_it_is_sent_is_an_error(song):
    opened = FileSong(song)
    song.write_bytes(song.read_bytes()[:1000])
    with pytest.raises(BadAudioError, match=r"had 2883584 bytes and now ends after 1000"):
        list(song_chunks(opened, 0))


def test_that_error_reaches_the_caller_of_upload(server_and_client, song, monkeypatch):
    _, client = server_and_client
    monkeypatch.setattr(FileSong, "read", lambda self, offset, size: b"")
    with pytest.raises(BadAudioError, match="now ends after 0"):
        client.upload(song)


def test_the_same_id_with_another_song_is_a_conflict(server_and_client, song, tmp_path):
    _, client = server_and_client
    other = tmp_path / "other.wav"
    other.write_bytes(b"other")
    client.upload(song, request_id="mine")
    with pytest.raises(RequestIdConflictError, match="used before"):
        client.upload(other, request_id="mine")


@pytest.mark.parametrize(
    ("dtype", "encoding", "sent"),
    [("int16", audio_pb2.PCM_ENCODING_S16LE, "<i2"), ("float64", audio_pb2.PCM_ENCODING_F32LE, "<f4")],
)
def test_arrays_go_up_as_interleaved_pcm(server_and_client, dtype, encoding, sent):
    server, client = server_and_client
    samples = np.array([[1, -2], [3, -4], [0, 1]]).astype(dtype)
    client.upload(samples, sample_rate_hz=48000)
    assert stored(server) == samples.astype(sent).tobytes()
    (upload,) = server.uploads.values()
    request = upload_service_pb2.CreateUploadRequest.FromString(upload.request)
    assert request.format.pcm == audio_pb2.PcmFormat(encoding=encoding, sample_rate_hz=48000, channels=2)


@pytest.mark.parametrize(
    ("song", "rate", "message"),
    [
        (np.zeros((2, 44100)), 44100, r"\(2, 44100\) has 44100 channels.*frames come first"),
        (np.zeros((0, 2)), 44100, r"\(0, 2\) is not audio"),
        (np.zeros(5, "int32"), 44100, "int32 are not accepted"),
        (np.zeros(5, "float32"), None, "pass sample_rate_hz"),
        ("song.wav", 44100, "has its own rate"),
        ("no such file.wav", None, "cannot read the song no such file.wav: No such file"),
    ],
)
def test_what_is_no_song_is_refused_before_the_network(song, rate, message):
    with pytest.raises(BadInputError, match=message):
        open_song(song, rate)


@pytest.mark.parametrize("suffix", ["wav", "rpp"])
def test_what_is_no_file_is_refused_by_its_kind(server_and_client, tmp_path, suffix):
    server, client = server_and_client
    pipe, folder, device = tmp_path / f"pipe.{suffix}", tmp_path / f"folder.{suffix}", Path("/dev/null")
    os.mkfifo(pipe)
    folder.mkdir()
    for path, kind in ((pipe, "pipe"), (folder, "folder"), (device, "device")):
        with pytest.raises(BadInputError, match=rf"{path} is a {kind}.*(file, and name that|one file in it)"):
            client.submit(SeparationRequest(path))
    assert not server.uploads


@pytest.mark.parametrize(
    "name", ["new\nline.wav", "tab\t.wav", "bell\a\x1b[31m.wav", "\u202egnp.wav", "*?<>|.wav"]
)
def test_a_song_of_any_name_is_sent(server_and_client, tmp_path, name):
    server, client = server_and_client
    (tmp_path / name).write_bytes(b"song")
    assert client.upload(tmp_path / name).complete
    assert stored(server) == b"song"


def test_a_header_that_was_never_finished_tells_no_length(tmp_path):
    path = tmp_path / "song"
    for kind in ("WAV", "FLAC"):
        path.write_bytes(without_count(encode(kind, tones())))
        assert lossless_length(path) is None
        with pytest.raises(BadInputError, match="does not say how long it is"), open_for_cutting(path):
            pass


def test_a_lossless_file_has_a_length_before_it_is_sent(tmp_path):
    for name in ("a.wav", "a.flac", "a.aiff"):
        soundfile.write(tmp_path / name, np.zeros((12345, 2)), 48000)
        assert lossless_length(tmp_path / name) == (48000, 12345, 2)
    soundfile.write(tmp_path / "a.ogg", np.zeros((12345, 2)), 48000)
    assert lossless_length(tmp_path / "a.ogg") is None
    (tmp_path / "a.txt").write_text("hello")
    assert lossless_length(tmp_path / "a.txt") is None
