"""Whatever one caller does, the server's queue, disk, memory and streams stay bounded: over real gRPC."""

import asyncio
import contextlib
import dataclasses
import errno
import gc
import os
import uuid

import grpc
import grpc.aio
import pytest

from tests.helpers.api import FILE, SONG, Api, chunk, error_info, listening, serving, write
from tests.helpers.front import ROOMY
from tests.helpers.scripted_engine import Gate, progress, succeed
from tests.helpers.tiny_cunet import write_tiny_cunet
from ugosa_server.jobs.runs import RunNotice
from ugosa_server.rpc.limits import MAX_STREAMS_PER_CONNECTION
from ugosa_server.wire.ugosa.v1 import job_service_pb2, marks_pb2, separation_service_pb2, upload_service_pb2

pytestmark = pytest.mark.asyncio

DECODED_BYTES = 4000 * 2 * 4  # of SONG: frames, channels, float32
IDLE_S = 3.0  # longer than a busy machine stands still


def allowing(**limits):
    quotas = {f"quota_{name}": limit for name, limit in limits.items()}
    return {"quotas": dataclasses.replace(ROOMY, **quotas)}


async def refusal(work):
    """Return (status code, reason, metadata) of a refused call."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await work
    return error_info(error.value)


def quota(name, maximum):
    return (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUOTA",
        {"limit": f"quota_{name}", "maximum": str(maximum)},
    )


async def send(api, upload_id, data=SONG, **options):
    """Write into an upload, each message once the last one is answered; return the answers."""
    call = api.uploads.WriteUpload()
    answers = []
    async for message in write(upload_id, data, **options):
        await call.write(message)
        answers.append(await call.read())
    call.cancel()
    return answers


async def delete_upload(api, upload_id):
    await api.uploads.DeleteUpload(upload_service_pb2.DeleteUploadRequest(upload_id=upload_id))


async def test_songs_kept_are_counted_for_each_principal(tmp_path):
    async with listening(tmp_path, **allowing(uploads=2)) as (front, (address,)):
        anna = ("authorization", "Bearer " + await front.store(lambda s: s.tokens.create("anna", None)))
        async with grpc.aio.insecure_channel(address) as channel:
            api = Api(channel)
            request_id = str(uuid.uuid4())
            first = await api.create_upload(request_id=request_id)
            await api.create_upload()
            assert await refusal(api.create_upload()) == quota("uploads", 2)
            assert len(os.listdir(tmp_path / "uploads")) == 2, "a refusal leaves no folder"
            assert await api.create_upload(request_id=request_id) == first, "a retry needs no room"
            of_anna = upload_service_pb2.CreateUploadRequest(request_id="r", format=first.format)
            await api.uploads.CreateUpload(of_anna, metadata=(anna,))
            await delete_upload(api, first.upload_id)
            await api.create_upload()


async def test_bytes_kept_are_counted_as_sent_as_decoded_and_as_stems(tmp_path):
    async with serving(tmp_path, **allowing(stored_bytes=200_000)) as api:
        assert await refusal(api.create_upload(size_bytes=200_001)) == quota("stored_bytes", 200_000)
        upload = await api.create_upload()

        too_much = send(api, upload.upload_id, data=bytes(200_001), size=50_000)
        assert await refusal(too_much) == quota("stored_bytes", 200_000)
        await delete_upload(api, upload.upload_id)
        upload = await api.upload()
        job = await api.job(upload_id=upload.upload_id)  # 4 stems of at most DECODED_BYTES each still fit
        await api.watch(job.job_id)
        assert await refusal(api.job(upload_id=upload.upload_id)) == quota("stored_bytes", 200_000)
        await api.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=job.job_id))
        await api.watch((await api.job(upload_id=upload.upload_id)).job_id)


async def test_stems_sent_by_separate_count_as_read_streams(tmp_path):
    async with serving(tmp_path, **allowing(read_streams=0)) as api:
        call = api.separation.Separate()
        await call.write(separation_service_pb2.SeparateRequest(header={"format": FILE}))
        await call.write(separation_service_pb2.SeparateRequest(chunk=chunk(0, SONG)))
        await call.done_writing()
        answers = []

        async def read_all():
            async for answer in call:
                answers.append(answer.WhichOneof("part"))

        assert await refusal(read_all()) == quota("read_streams", 0)
        assert {"accepted", "event"} <= set(answers), "the job is known, and its stems can be read later"


async def test_jobs_that_wait_hold_room_for_their_stems_until_they_end(tmp_path):
    gate = Gate()
    room = 3 * DECODED_BYTES * 4 // 2  # for the song and one job's four stems, but not for a second job's
    async with serving(tmp_path, [gate, succeed], [succeed], **allowing(stored_bytes=room)) as api:
        upload = await api.upload()
        running = await api.job(upload_id=upload.upload_id)
        await gate.reached.wait()
        assert await refusal(api.job(upload_id=upload.upload_id)) == quota("stored_bytes", room)
        await api.jobs.CancelJob(job_service_pb2.CancelJobRequest(job_id=running.job_id))
        await api.watch(running.job_id)
        await api.job(upload_id=upload.upload_id)


async def test_other_marks_make_no_more_stems_than_there_is_room_for(tmp_path):
    (tmp_path / "models").mkdir()
    write_tiny_cunet(tmp_path / "models" / "cunet.safetensors")

    def playing(*names):
        return marks_pb2.Marks(
            marks=[marks_pb2.Mark(source=name, state=1, start_frame=0, end_frame=9) for name in names]
        )

    gate = Gate()
    room = DECODED_BYTES * (1 + 4 + 3)  # the song, four stems of a job that runs, three of one that waits
    async with serving(tmp_path, [gate, succeed], **allowing(stored_bytes=room)) as api:
        upload = await api.upload()
        running = await api.job(upload_id=upload.upload_id)
        await gate.reached.wait()
        few, many = playing("violin", "viola"), playing("violin", "viola", "cello")
        waiting = await api.job(upload_id=upload.upload_id, options={"model": "cunet"}, marks=few)
        more = job_service_pb2.SetMarksRequest(job_id=waiting.job_id, marks=many)
        assert await refusal(api.jobs.SetMarks(more)) == quota("stored_bytes", room)
        get = job_service_pb2.GetJobRequest(job_id=waiting.job_id)
        assert [mark.source for mark in (await api.jobs.GetJob(get)).job.marks.marks] == ["viola", "violin"]
        one = job_service_pb2.SetMarksRequest(job_id=waiting.job_id, marks=playing("cello"))
        assert len((await api.jobs.SetMarks(one)).job.marks.marks) == 1
        gate.open()
        await api.watch(running.job_id)


async def test_song_too_large_once_decoded_can_be_finished_later(tmp_path):
    room = DECODED_BYTES + len(SONG)  # for one decoded song and one as sent, but not for two decoded ones
    async with serving(tmp_path, **allowing(stored_bytes=room)) as api:
        first = await api.upload()
        second = await api.create_upload()

        code, reason, _ = await refusal(send(api, second.upload_id, finish=True))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA")
        assert os.listdir(tmp_path / "uploads" / second.upload_id) == ["bytes"]
        await delete_upload(api, first.upload_id)
        answers = await send(api, second.upload_id, offset=len(SONG), finish=True)
        assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE


async def test_waiting_jobs_are_counted_for_each_principal(tmp_path):
    gate = Gate()
    async with serving(tmp_path, [gate, succeed], **allowing(queued_jobs=1)) as api:
        upload = await api.upload()
        running = await api.job(upload_id=upload.upload_id)
        await gate.reached.wait()
        await api.job(upload_id=upload.upload_id)
        assert await refusal(api.job(upload_id=upload.upload_id)) == quota("queued_jobs", 1)
        gate.open()
        await api.watch(running.job_id)


async def test_client_that_leaves_a_watch_frees_its_place(tmp_path):
    gate = Gate()
    async with serving(tmp_path, [progress(1), gate, succeed], **allowing(watches=1)) as api:
        job = await api.job()
        request = job_service_pb2.WatchJobRequest(job_id=job.job_id)
        call = api.jobs.WatchJob(request)
        await call.read()
        assert await refusal(api.watch(job.job_id)) == quota("watches", 1)
        call.cancel()
        async with asyncio.timeout(60):
            while True:  # the server hears of the cancel a moment later
                again = api.jobs.WatchJob(request)
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await again.read()
                    break
        gate.open()
        again.cancel()


async def test_stems_that_are_being_read_are_counted(tmp_path):
    async with serving(tmp_path, **allowing(read_streams=1)) as api:
        job = await api.job()
        await api.watch(job.job_id)

        def read():
            return api.jobs.ReadStem(job_service_pb2.ReadStemRequest(job_id=job.job_id, source="drums"))

        standing = api.uploads.WriteUpload()  # of another kind: not counted here
        first = read()
        assert (await first.read()).chunk.data
        while await first.read() is not grpc.aio.EOF:
            pass
        assert (await read().read()).chunk.data, "one that was read to its end has made room"
        standing.cancel()


async def test_open_upload_streams_are_counted(tmp_path):
    async with serving(tmp_path, **allowing(upload_streams=1)) as api:
        one, other = await api.create_upload(), await api.create_upload()
        call = api.uploads.WriteUpload()
        opening = upload_service_pb2.WriteUploadOpen(upload_id=one.upload_id)
        await call.write(upload_service_pb2.WriteUploadRequest(open=opening))
        await call.read()

        assert await refusal(send(api, other.upload_id)) == quota("upload_streams", 1)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert (await send(api, other.upload_id))[-1].committed_size == len(SONG)


async def test_stalled_upload_loses_its_stream_and_no_bytes(tmp_path):
    async with serving(tmp_path, idle_timeout_s=IDLE_S) as api:
        upload = await api.create_upload()
        call = api.uploads.WriteUpload()
        opening = upload_service_pb2.WriteUploadOpen(upload_id=upload.upload_id)
        await call.write(upload_service_pb2.WriteUploadRequest(open=opening))
        await call.write(upload_service_pb2.WriteUploadRequest(chunk=chunk(0, SONG[:1000])))
        assert [(await call.read()).committed_size for _ in range(2)] == [0, 1000]
        assert (await refusal(call.read()))[:2] == (grpc.StatusCode.ABORTED, "UPLOAD_IDLE")
        rest = write(upload.upload_id, SONG, offset=1000, finish=True)
        answers = [a async for a in api.uploads.WriteUpload(rest)]
        assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE


async def test_a_call_that_never_says_anything_is_ended(tmp_path):
    async with serving(tmp_path, idle_timeout_s=IDLE_S) as api:
        header = separation_service_pb2.SeparateHeader(format=(await api.create_upload()).format)
        speechless = (api.uploads.WriteUpload(), api.separation.Separate(), api.separation.Separate())
        await speechless[2].write(separation_service_pb2.SeparateRequest(header=header))
        for call in speechless:
            assert (await refusal(call.read()))[:2] == (grpc.StatusCode.ABORTED, "UPLOAD_IDLE")


async def test_watcher_that_does_not_read_costs_one_window(tmp_path):
    events, text = 2_000, "x" * 10_000
    script = [progress(1), succeed]
    async with (
        listening(tmp_path, script) as (front, (address,)),
        grpc.aio.insecure_channel(address) as channel,
    ):
        api = Api(channel)
        job = await api.job()
        last_seq = len(await api.watch(job.job_id))

        def add_backlog(store):
            for _ in range(events):
                store.events.append(job.job_id, 1, RunNotice("BACKLOG", text))

        await front.store(add_backlog)
        pulled, watch = 0, front.jobs.watch

        async def counted(*arguments):
            nonlocal pulled
            async with contextlib.aclosing(watch(*arguments)) as found:
                async for event in found:
                    pulled += 1
                    yield event

        front.jobs.watch = counted
        call = api.jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id, after_seq=last_seq))
        await call.read()
        seen = -1
        async with asyncio.timeout(60):
            while seen != pulled:  # the others are answered, until the one that does not read stands still
                seen = pulled
                for _ in range(20):
                    await api.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job.job_id))
        assert 0 < pulled < events / 2
        call.cancel()


async def test_uploads_and_jobs_stop_at_the_floor_of_free_space(tmp_path):
    async with listening(tmp_path) as (front, (address,)), grpc.aio.insecure_channel(address) as channel:
        api = Api(channel)
        upload = await api.upload()
        unfinished = await api.create_upload()
        front.spool.min_free_bytes = 2**62
        full = (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
        assert (await refusal(api.create_upload()))[:2] == full
        assert (await refusal(api.job(upload_id=upload.upload_id)))[:2] == full

        assert (await refusal(send(api, unfinished.upload_id)))[:2] == full
        front.spool.min_free_bytes = 0
        assert (await send(api, unfinished.upload_id, finish=True))[
            -1
        ].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE
        await api.watch((await api.job(upload_id=unfinished.upload_id)).job_id)


async def test_disk_that_fills_within_a_chunk_tears_nothing(tmp_path, monkeypatch):
    write_some = os.pwrite

    def full_after_3000(descriptor, data, offset):
        if offset + len(data) <= 3000:
            return write_some(descriptor, data, offset)
        write_some(descriptor, data[:500], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with serving(tmp_path) as api:
        upload = await api.create_upload()

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full_after_3000)
            code, reason, _ = await refusal(send(api, upload.upload_id))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
        request = upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id)
        committed = (await api.uploads.GetUpload(request)).upload.committed_size
        assert committed <= 3000
        answers = await send(api, upload.upload_id, offset=committed, finish=True)
        assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE


async def test_a_connection_is_served_after_many_refused_calls(tmp_path):
    gc.disable()  # what only the collector would free still counts as a stream of the connection
    try:
        async with serving(tmp_path) as api:
            unknown = upload_service_pb2.GetUploadRequest(upload_id="none")
            codes = {
                (await refusal(api.uploads.GetUpload(unknown)))[0]
                for _ in range(2 * MAX_STREAMS_PER_CONNECTION)
            }
            assert codes == {grpc.StatusCode.NOT_FOUND}
    finally:
        gc.enable()


async def test_a_size_below_zero_is_refused(tmp_path):
    async with serving(tmp_path) as api:
        code, reason, _ = await refusal(api.create_upload(size_bytes=-1))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_OPTION")
