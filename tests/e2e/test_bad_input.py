"""Bad input gets an error that names the thing, and leaves nothing behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import grpc
import numpy as np
import pytest
import soundfile

from tests.helpers.jobs import silent
from tests.helpers.server import Server
from tests.helpers.songs import make_song, read_audio, write_song
from ugosa_client import JobOptions, SeparationRequest, UgosaClient
from ugosa_client.errors import (
    BadAudioError,
    BadOptionError,
    BadRegionError,
    NotFoundError,
    UnknownModelError,
    UnknownSourceError,
    error_info,
)
from ugosa_client.wire.ugosa.v1 import audio_pb2, upload_service_pb2
from ugosa_client.wire.ugosa.v1.upload_service_pb2_grpc import UploadServiceStub

FRAMES = 44100


@pytest.fixture
def upload_id(client: UgosaClient, tmp_path: Path) -> str:
    return client.upload(write_song(make_song(FRAMES), tmp_path / "song.wav")).upload_id


@pytest.fixture
def job_ids_stay(client: UgosaClient) -> Iterator[None]:
    before = [job.job_id for job in client.list_jobs()]
    yield
    assert [job.job_id for job in client.list_jobs()] == before, "a refused request left a job behind"


@pytest.mark.usefixtures("job_ids_stay")
class TestJobs:
    """CreateJob refuses what can never work, before any compute."""

    def test_an_unknown_source_is_named_with_the_nearest_one(self, client: UgosaClient, upload_id: str):
        with pytest.raises(UnknownSourceError, match=r"vocal'?.*vocals"):
            client.create_job(upload_id, marks=[silent("vocal", 0, 100)])

    def test_a_region_past_the_end_is_told_with_both_values(self, client: UgosaClient, upload_id: str):
        with pytest.raises(BadRegionError, match=rf"(?s){FRAMES + 1}.*{FRAMES}|{FRAMES}.*{FRAMES + 1}"):
            client.create_job(upload_id, marks=[silent("vocals", 0, FRAMES + 1)])

    def test_a_reversed_region_is_refused(self, client: UgosaClient, upload_id: str):
        with pytest.raises(BadRegionError, match="200"):
            client.create_job(upload_id, marks=[silent("vocals", 200, 100)])

    def test_an_unknown_model_is_named_with_the_nearest_one(self, client: UgosaClient, upload_id: str):
        with pytest.raises(UnknownModelError, match=r"tinny.*tiny"):
            client.create_job(upload_id, options=JobOptions(model="tinny"))

    def test_an_option_out_of_range_is_refused(self, client: UgosaClient, upload_id: str):
        with pytest.raises(BadOptionError, match="nan"):
            client.create_job(upload_id, options=JobOptions(learning_rate=float("nan")))

    def test_a_slip_in_a_name_is_corrected_before_the_song_is_sent(self, client: UgosaClient, tmp_path: Path):
        song = write_song(make_song(FRAMES), tmp_path / "song.wav")
        sent: list[int] = []
        request = SeparationRequest(song, options=JobOptions(strategy="p-l3:d"))
        with pytest.raises(BadOptionError, match="did you mean 'P-L3:D'"):
            client.submit(request, on_upload=lambda done, _: sent.append(done))
        assert sent == []

    def test_an_unknown_upload_is_not_found(self, client: UgosaClient):
        with pytest.raises(NotFoundError, match="no-such-upload"):
            client.create_job("no-such-upload")


class TestAudio:
    """Audio that cannot be used is refused when the upload is finished."""

    def test_samples_that_are_not_numbers_are_refused(self, client: UgosaClient, tmp_path: Path):
        samples = make_song(FRAMES).samples.astype(np.float32)
        samples[12345, 0] = -np.inf
        soundfile.write(tmp_path / "bad.wav", samples, 44100, subtype="FLOAT")
        with pytest.raises(BadAudioError, match="12345"):
            client.upload(tmp_path / "bad.wav")

    def test_a_song_without_frames_is_refused(self, client: UgosaClient, tmp_path: Path):
        soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), 44100)
        with pytest.raises(BadAudioError):
            client.upload(tmp_path / "empty.wav")

    def test_a_file_that_is_no_audio_is_refused(self, client: UgosaClient, tmp_path: Path):
        (tmp_path / "letter.wav").write_bytes(b"Dear Sir or Madam, " * 1000)
        with pytest.raises(BadAudioError):
            client.upload(tmp_path / "letter.wav")

    def test_a_file_cut_short_is_refused(self, client: UgosaClient, tmp_path: Path):
        whole = write_song(make_song(FRAMES), tmp_path / "whole.flac").read_bytes()
        (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BadAudioError):
            client.upload(tmp_path / "cut.flac")


class TestUploadStream:
    """WriteUpload keeps what it acknowledged and nothing of what it refused."""

    @pytest.fixture
    def uploads(self, shared_server: Server) -> Iterator[UploadServiceStub]:
        with grpc.insecure_channel(shared_server.target) as channel:
            yield UploadServiceStub(channel)

    @pytest.fixture
    def song_bytes(self, tmp_path: Path) -> bytes:
        return write_song(make_song(FRAMES), tmp_path / "song.wav", "PCM_24").read_bytes()

    @pytest.fixture
    def fresh_upload_id(self, uploads: UploadServiceStub) -> str:
        request = upload_service_pb2.CreateUploadRequest(
            request_id=str(uuid.uuid4()),
            format=audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="song.wav")),
        )
        return uploads.CreateUpload(request).upload.upload_id

    @staticmethod
    def chunk(offset: int, data: bytes, crc32c: int | None = None) -> upload_service_pb2.WriteUploadRequest:
        crc32c = google_crc32c.value(data) if crc32c is None else crc32c
        return upload_service_pb2.WriteUploadRequest(
            chunk=audio_pb2.Chunk(offset=offset, data=data, crc32c=crc32c)
        )

    @staticmethod
    def write(
        uploads: UploadServiceStub, upload_id: str, *requests: upload_service_pb2.WriteUploadRequest
    ) -> list[upload_service_pb2.WriteUploadResponse]:
        opening = upload_service_pb2.WriteUploadRequest(
            open=upload_service_pb2.WriteUploadOpen(upload_id=upload_id)
        )
        return list(uploads.WriteUpload(iter([opening, *requests])))

    @pytest.mark.parametrize("wrong", ["crc", "offset"])
    def test_a_wrong_chunk_is_refused_and_the_upload_goes_on(
        self,
        uploads: UploadServiceStub,
        fresh_upload_id: str,
        song_bytes: bytes,
        client: UgosaClient,
        tmp_path: Path,
        wrong: str,
    ):
        half = len(song_bytes) // 2
        first, second = song_bytes[:half], song_bytes[half:]
        bad = self.chunk(half, second, crc32c=1) if wrong == "crc" else self.chunk(half + 1, second)
        with pytest.raises(grpc.RpcError) as caught:
            self.write(uploads, fresh_upload_id, self.chunk(0, first), bad)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        info = error_info(caught.value)
        assert info.reason == {"crc": "CRC_MISMATCH", "offset": "OFFSET_MISMATCH"}[wrong]
        committed = int(info.metadata["committed_size"])
        assert committed in (0, half)

        finish = upload_service_pb2.WriteUploadRequest(
            finish=upload_service_pb2.WriteUploadFinish(size_bytes=len(song_bytes))
        )
        answers = self.write(uploads, fresh_upload_id, self.chunk(committed, song_bytes[committed:]), finish)
        assert answers[0].committed_size == committed
        assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE
        job = client.create_job(fresh_upload_id, options=JobOptions(strategy="B0"))
        stems = client.finish(job, tmp_path / "stems").files.stems
        np.testing.assert_array_equal(
            sum(read_audio(stem) for stem in stems.values()), read_audio(tmp_path / "song.wav")
        )

    def test_a_wrong_sha256_is_data_loss(
        self, uploads: UploadServiceStub, fresh_upload_id: str, song_bytes: bytes
    ):
        finish = upload_service_pb2.WriteUploadRequest(
            finish=upload_service_pb2.WriteUploadFinish(size_bytes=len(song_bytes), sha256="0" * 64)
        )
        with pytest.raises(grpc.RpcError) as caught:
            self.write(uploads, fresh_upload_id, self.chunk(0, song_bytes), finish)
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert error_info(caught.value).reason == "SHA256_MISMATCH"

    def test_an_upload_that_is_not_finished_makes_no_job(
        self, uploads: UploadServiceStub, fresh_upload_id: str, song_bytes: bytes, client: UgosaClient
    ):
        answers = self.write(uploads, fresh_upload_id, self.chunk(0, song_bytes))
        assert answers[-1].committed_size == len(song_bytes)
        with pytest.raises(Exception, match=fresh_upload_id) as caught:
            client.create_job(fresh_upload_id)
        assert caught.value.reason == "UPLOAD_INCOMPLETE"
