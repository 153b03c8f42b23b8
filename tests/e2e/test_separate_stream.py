"""SeparationService.Separate: one call from audio and marks to stems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import grpc
import numpy as np
import pytest

from tests.helpers.jobs import LONG, silent, wait_for_adaptation
from tests.helpers.server import Server
from tests.helpers.songs import SOURCES, make_song, read_audio, write_song
from ugosa_client import JobState, UgosaClient
from ugosa_client.errors import JobStartedError
from ugosa_client.wire.ugosa.v1 import audio_pb2, job_pb2, marks_pb2, separation_service_pb2
from ugosa_client.wire.ugosa.v1.separation_service_pb2_grpc import SeparationServiceStub

Request = separation_service_pb2.SeparateRequest
CHUNK_BYTES = 50_000


def header() -> separation_service_pb2.SeparateRequest:
    return Request(
        header=separation_service_pb2.SeparateHeader(
            format=audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="song.wav")),
            options=job_pb2.JobOptions(epochs=1),
        )
    )


def marks(source: str, start_frame: int, end_frame: int) -> separation_service_pb2.SeparateRequest:
    mark = marks_pb2.Mark(
        source=source,
        state=marks_pb2.MARK_STATE_SILENT,
        start_frame=start_frame,
        end_frame=end_frame,
    )
    return Request(marks=marks_pb2.Marks(marks=[mark]))


def chunks(data: bytes) -> Iterator[separation_service_pb2.SeparateRequest]:
    for offset in range(0, len(data), CHUNK_BYTES):
        part = data[offset : offset + CHUNK_BYTES]
        yield Request(chunk=audio_pb2.Chunk(offset=offset, data=part, crc32c=google_crc32c.value(part)))


@pytest.fixture
def separate(shared_server: Server):
    """The raw call: requests in, all responses out."""
    with grpc.insecure_channel(shared_server.target) as channel:
        stub = SeparationServiceStub(channel)
        yield lambda requests: list(stub.Separate(iter(requests)))


@pytest.fixture
def song_path(tmp_path: Path) -> Path:
    return write_song(make_song(44100), tmp_path / "song.wav", "PCM_24")


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_marks_come_before_between_or_after_the_audio(separate, song_path: Path, tmp_path: Path, place: str):
    parts = list(chunks(song_path.read_bytes()))
    position = {"before": 0, "between": len(parts) // 2, "after": len(parts)}[place]
    parts.insert(position, marks("vocals", 10000, 20000))
    responses = separate([header(), *parts])

    kinds = [response.WhichOneof("part") for response in responses]
    assert kinds.count("accepted") == 1
    assert kinds[-1] == "done"
    assert responses[-1].done.job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert [mark.source for mark in responses[-1].done.job.marks.marks] == ["vocals"]
    order = [kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] != kind]
    assert order == ["received", "accepted", "event", "stem", "done"]

    files: dict[str, bytearray] = {}
    for response in responses:
        if response.WhichOneof("part") == "stem":
            stem = files.setdefault(response.stem.source, bytearray())
            assert response.stem.chunk.offset == len(stem)
            stem += response.stem.chunk.data
    assert list(files) == list(SOURCES)
    for source, data in files.items():
        (tmp_path / f"{source}.wav").write_bytes(data)
    np.testing.assert_array_equal(
        sum(read_audio(tmp_path / f"{source}.wav") for source in SOURCES), read_audio(song_path)
    )


def test_the_last_marks_count(separate, song_path: Path):
    parts = list(chunks(song_path.read_bytes()))
    requests = [header(), marks("drums", 0, 10), *parts, marks("bass", 5000, 9000)]
    job = separate(requests)[-1].done.job
    assert [(m.source, m.start_frame, m.end_frame) for m in job.marks.marks] == [("bass", 5000, 9000)]


def test_acknowledged_bytes_are_all_the_bytes(separate, song_path: Path):
    data = song_path.read_bytes()
    responses = separate([header(), *chunks(data)])
    received = [r.received.committed_size for r in responses if r.WhichOneof("part") == "received"]
    assert received == sorted(received)
    assert received[-1] == len(data)


@pytest.mark.parametrize("broken", ["no header", "two headers", "gap"])
def test_a_broken_order_is_refused(separate, song_path: Path, broken: str):
    parts = list(chunks(song_path.read_bytes()))
    requests = {
        "no header": parts,
        "two headers": [header(), header(), *parts],
        "gap": [header(), parts[0], *parts[2:]],
    }[broken]
    with pytest.raises(grpc.RpcError) as caught:
        separate(requests)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ABORTED)


def test_marks_can_be_replaced_until_the_job_starts(client: UgosaClient, song_path: Path):
    upload_id = client.upload(song_path).upload_id
    running = client.create_job(upload_id, marks=[silent("vocals", 0, 20000)], options=LONG)
    queued = client.create_job(upload_id, marks=[silent("vocals", 0, 20000)], options=LONG)
    wait_for_adaptation(client, running.job_id)
    replaced = client.set_marks(queued.job_id, [silent("drums", 100, 200)])
    assert replaced.marks == (silent("drums", 100, 200),)
    with pytest.raises(JobStartedError):
        client.set_marks(running.job_id, [silent("drums", 100, 200)])
    assert client.cancel(queued.job_id).state is JobState.CANCELLED
    client.cancel(running.job_id)
