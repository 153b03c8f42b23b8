"""The wire's rules, over real gRPC on a Unix socket, with an engine that plays scripts."""

import asyncio
import hashlib

import google_crc32c
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.helpers.api import FILE, SILENT, SONG, chunk, error_info, serving, write
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_server.rpc.server import SERVICE_NAMES
from ugosa_server.wire.ugosa.v1 import (
    job_pb2,
    job_service_pb2,
    marks_pb2,
    model_service_pb2,
    separation_service_pb2,
    upload_service_pb2,
)

pytestmark = pytest.mark.asyncio


async def test_an_upload_is_acknowledged_and_described(tmp_path):
    async with serving(tmp_path) as api:
        upload = await api.create_upload()
        answers = [a async for a in api.uploads.WriteUpload(write(upload.upload_id, SONG, finish=True))]
        sizes = [answer.committed_size for answer in answers]
        assert (sizes[0], sizes[-1]) == (0, len(SONG))
        assert sizes == sorted(sizes)
        done = answers[-1].upload
        assert done.state == upload_service_pb2.UPLOAD_STATE_COMPLETE
        assert done.sha256 == hashlib.sha256(SONG).hexdigest()
        assert (done.audio.sample_rate_hz, done.audio.channels, done.audio.frames) == (8000, 2, 4000)
        # Only `open`: who writes on while the server ends the call may lose the race in grpc.aio's client.
        again = [a async for a in api.uploads.WriteUpload(write(upload.upload_id, b""))]
        assert again[-1].upload == done, "a client whose answer was lost is answered again"


async def test_a_paused_upload_goes_on_where_it_was_committed(tmp_path):
    async with serving(tmp_path) as api:
        upload = await api.create_upload()
        first = [a async for a in api.uploads.WriteUpload(write(upload.upload_id, SONG[:3000]))]
        assert first[-1].committed_size == 3000
        got = await api.uploads.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id))
        assert got.upload.committed_size == 3000
        rest = write(upload.upload_id, SONG, offset=3000, finish=True)
        answers = [a async for a in api.uploads.WriteUpload(rest)]
        assert answers[0].committed_size == 3000
        assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(chunk(1500, b"late"), "OFFSET_MISMATCH"), (chunk(1000, b"torn", crc32c=1), "CRC_MISMATCH")],
)
async def test_a_refused_chunk_costs_nothing_that_came_before_it(tmp_path, bad, reason):
    async def stream(upload_id):
        async for message in write(upload_id, SONG[:1000]):
            yield message
        yield upload_service_pb2.WriteUploadRequest(chunk=bad)

    async with serving(tmp_path) as api:
        upload = await api.create_upload()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            [a async for a in api.uploads.WriteUpload(stream(upload.upload_id))]
        code, found, metadata = error_info(error.value)
        assert (code, found) == (grpc.StatusCode.ABORTED, reason)
        assert metadata["committed_size"] == "1000"
        answers = [
            a async for a in api.uploads.WriteUpload(write(upload.upload_id, SONG, offset=1000, finish=True))
        ]
        assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE


async def test_one_stream_at_a_time_writes_an_upload(tmp_path):
    async with serving(tmp_path) as api:
        upload = await api.create_upload()
        first = api.uploads.WriteUpload()
        await first.write(
            upload_service_pb2.WriteUploadRequest(
                open=upload_service_pb2.WriteUploadOpen(upload_id=upload.upload_id)
            )
        )
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            [a async for a in api.uploads.WriteUpload(write(upload.upload_id, b""))]
        assert error_info(error.value)[:2] == (grpc.StatusCode.ABORTED, "UPLOAD_BUSY")
        first.cancel()


async def test_wrong_bytes_are_data_loss(tmp_path):
    async with serving(tmp_path) as api:
        upload = await api.create_upload()
        stream = write(upload.upload_id, SONG, finish=True, sha256="00" * 32)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            [a async for a in api.uploads.WriteUpload(stream)]
        assert error_info(error.value)[:2] == (grpc.StatusCode.DATA_LOSS, "SHA256_MISMATCH")


async def test_a_job_needs_a_finished_upload(tmp_path):
    async with serving(tmp_path) as api:
        upload = await api.create_upload()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await api.job(upload_id=upload.upload_id)
        code, reason, metadata = error_info(error.value)
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
        assert metadata == {"committed_size": "0"}


async def test_a_watched_job_ends_with_its_stems(tmp_path):
    async with serving(tmp_path) as api:
        job = await api.job(options=job_pb2.JobOptions(epochs=3, strategy="P-L4:D"))
        assert (job.options.epochs, job.options.strategy, job.options.model) == (3, "P-L4:D", "tiny")
        events = await api.watch(job.job_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert events[-1].state_changed.state == job_pb2.JOB_STATE_SUCCEEDED
        job = (await api.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job.job_id))).job
        assert [stem.source for stem in job.stems] == ["drums", "bass", "other", "vocals"]
        stem = job.stems[2]
        request = job_service_pb2.ReadStemRequest(job_id=job.job_id, source="other")
        whole = b"".join([answer.chunk.data async for answer in api.jobs.ReadStem(request)])
        assert (len(whole), hashlib.sha256(whole).hexdigest()) == (stem.size_bytes, stem.sha256)
        request = job_service_pb2.ReadStemRequest(job_id=job.job_id, source="other", offset=10, length=7)
        (part,) = [answer.chunk async for answer in api.jobs.ReadStem(request)]
        assert (part.offset, part.data) == (10, whole[10:17])
        assert part.crc32c == google_crc32c.value(part.data)
        request = job_service_pb2.ReadStemRequest(job_id=job.job_id, source="other", offset=10**9)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            [answer async for answer in api.jobs.ReadStem(request)]
        assert error_info(error.value)[0] == grpc.StatusCode.OUT_OF_RANGE


async def test_a_client_that_disconnects_changes_nothing(tmp_path):
    gate = Gate()
    async with serving(tmp_path, [progress(1), gate, progress(2), succeed]) as api:
        job = await api.job()
        call = api.jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id))
        seen = [(await call.read()).event]
        call.cancel()
        await gate.reached.wait()
        gate.open()
        seen += await api.watch(job.job_id, after_seq=seen[-1].seq)
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert seen[-1].state_changed.state == job_pb2.JOB_STATE_SUCCEEDED


async def separate(api, *parts, request_id=""):
    header = separation_service_pb2.SeparateHeader(request_id=request_id, format=FILE)

    async def requests():
        yield separation_service_pb2.SeparateRequest(header=header)
        for part in parts:
            if isinstance(part, marks_pb2.Marks):
                yield separation_service_pb2.SeparateRequest(marks=part)
            else:
                yield separation_service_pb2.SeparateRequest(chunk=part)

    return [answer async for answer in api.separation.Separate(requests())]


async def test_separate_uses_the_last_marks_wherever_they_come(tmp_path):
    async with serving(tmp_path) as api:
        half = len(SONG) // 2
        bad = marks_pb2.Marks(marks=[marks_pb2.Mark(source="nobody")])
        answers = await separate(api, bad, chunk(0, SONG[:half]), bad, chunk(half, SONG[half:]), SILENT)
        kinds = [answer.WhichOneof("part") for answer in answers]
        assert sorted(set(kinds), key=kinds.index) == ["received", "accepted", "event", "stem", "done"]
        job = answers[-1].done.job
        assert job.marks == SILENT
        for stem in job.stems:
            data = b"".join(
                a.stem.chunk.data
                for a in answers
                if a.WhichOneof("part") == "stem" and a.stem.source == stem.source
            )
            assert hashlib.sha256(data).hexdigest() == stem.sha256
        again = await separate(api, chunk(0, SONG), SILENT, request_id=job.request_id)
        assert again[-1].done.job.job_id == job.job_id, "the same call again is the same job"


async def test_refused_separate_leaves_neither_job_nor_song(tmp_path):
    async with serving(tmp_path) as api:
        for parts in ((chunk(0, SONG), marks_pb2.Marks(marks=[marks_pb2.Mark(source="nobody")])), ()):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await separate(api, *parts)
            assert error_info(error.value)[0] == grpc.StatusCode.INVALID_ARGUMENT
        jobs = await api.jobs.ListJobs(job_service_pb2.ListJobsRequest())
        assert len(jobs.jobs) == 0
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("attempt", range(3))  # chance says what comes first, its end or its cancel
async def test_client_that_leaves_separate_early_makes_no_job(tmp_path, attempt):
    async with serving(tmp_path) as api:
        raw = {"pcm": {"encoding": "PCM_ENCODING_S16LE", "sample_rate_hz": 8000, "channels": 2}}
        call = api.separation.Separate()
        await call.write(separation_service_pb2.SeparateRequest(header={"format": raw}))
        await call.write(separation_service_pb2.SeparateRequest(chunk=chunk(0, SONG[:1000])))
        assert (await call.read()).received.committed_size == 1000
        call.cancel()
        async with asyncio.timeout(60):
            while list((tmp_path / "uploads").iterdir()):  # the server hears of the cancel a moment later
                jobs = await api.jobs.ListJobs(job_service_pb2.ListJobsRequest())
                assert len(jobs.jobs) == 0


@pytest.mark.parametrize("name", ["x" * 3_000_000, "日" * 3_000])
async def test_very_long_value_is_refused_in_a_short_message(tmp_path, name):
    async with serving(tmp_path) as api:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await api.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=name))
        assert error_info(error.value)[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        assert error.value.details().startswith(f"no job '{name[:200]}")
        upload = await api.upload()
        marks = marks_pb2.Marks(marks=[marks_pb2.Mark(source=name, state=1, start_frame=0, end_frame=1)])
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await api.job(upload_id=upload.upload_id, marks=marks)
        assert error_info(error.value)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SOURCE")
        assert error.value.details().endswith("; its sources are drums, bass, other, vocals")


async def test_first_messages_are_required(tmp_path):
    async def chunk_first(kind):
        yield kind(chunk=chunk(0, b"x"))

    async with serving(tmp_path) as api:
        for call, kind in (
            (api.uploads.WriteUpload, upload_service_pb2.WriteUploadRequest),
            (api.separation.Separate, separation_service_pb2.SeparateRequest),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="first message"):
                [answer async for answer in call(chunk_first(kind))]


async def test_models_health_and_reflection_answer(tmp_path):
    async with serving(tmp_path) as api:
        models = (await api.models.ListModels(model_service_pb2.ListModelsRequest())).models
        (tiny,) = [model for model in models if model.is_default]
        assert tiny.name == "tiny"
        assert {"P-L3:D", "B-L1:M", "B0"} <= {strategy.name for strategy in tiny.strategies}
        with pytest.raises(grpc.aio.AioRpcError, match="tiny"):
            await api.models.GetModel(model_service_pb2.GetModelRequest(name="tny"))
        health = health_pb2_grpc.HealthStub(api.channel)
        for name in ("", *SERVICE_NAMES):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(api.channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = [a async for a in stub.ServerReflectionInfo(iter([asked]))]
        assert set(SERVICE_NAMES) <= {s.name for s in answer.list_services_response.service}
