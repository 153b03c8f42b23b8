"""A row of the database that a disk has changed costs that row, and says so; everything else goes on."""

import apsw
import grpc
import pytest

from tests.helpers.api import FILE, SONG, Api, error_info, listening, write
from tests.helpers.front import PRINCIPAL, running_front
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_server.jobs import JobState
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.wire.ugosa.v1 import job_pb2, job_service_pb2, upload_service_pb2

pytestmark = pytest.mark.asyncio

DAMAGE = [b"", b"{", b"\xff\xfe", b'{"a": 1}', b"[[]]", b"9" * 5000]


def damage(tmp_path, table, column, data, key, key_column="job_id"):
    """Change a column on disk."""
    connection = apsw.Connection(str(tmp_path / "ugosa.sqlite"))
    connection.set_busy_timeout(5000)
    sql = f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE {key_column} = ?"
    connection.execute(sql, (data, key))
    assert connection.changes() > 0
    connection.close()


async def get(api, job_id):
    return (await api.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job_id))).job


COLUMNS_OF_SONG = [("jobs", "audio"), ("jobs", "options"), ("job_marks", "marks")]


async def test_a_damaged_job_is_told_listed_and_deleted(tmp_path):
    async with listening(tmp_path) as (_, (address,)), grpc.aio.insecure_channel(address) as channel:
        api = Api(channel)
        upload = await api.upload()
        damaged, whole = [(await api.job(upload_id=upload.upload_id)).job_id for _ in range(2)]
        for job_id in (damaged, whole):
            await api.watch(job_id)
        for table, column in [*COLUMNS_OF_SONG, ("jobs", "file_name"), ("jobs", "result")]:
            for data in DAMAGE:
                damage(tmp_path, table, column, data, damaged)
                job = await get(api, damaged)
                listed = await api.jobs.ListJobs(job_service_pb2.ListJobsRequest())
                assert list(listed.jobs) == [await get(api, whole), job]
                if column == "result":
                    assert (job.state, job.error.reason) == (job_pb2.JOB_STATE_FAILED, "STORE_DAMAGED")
                    assert "Delete it" in job.error.message
                else:
                    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
                    assert len(job.stems) > 0
        await api.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=damaged))
        assert (await get(api, whole)).state == job_pb2.JOB_STATE_SUCCEEDED


async def test_a_job_whose_result_is_damaged_is_made_anew(tmp_path):
    async with running_front(tmp_path, *[[progress(1), succeed]] * 2) as front:
        upload = await front.upload()
        first = await front.jobs.create(PRINCIPAL, "a", upload.upload_id, JobOptionsRequest(), ())
        await front.events(first.job_id)
        damage(tmp_path, "jobs", "result", b"{", first.job_id)
        again = await front.jobs.create(PRINCIPAL, "b", upload.upload_id, JobOptionsRequest(), (), reuse=True)
        assert again.job_id != first.job_id
        await front.events(again.job_id)
        assert (await front.jobs.get(PRINCIPAL, again.job_id)).state is JobState.SUCCEEDED


async def test_a_damaged_job_fails_and_the_queue_goes_on(tmp_path):
    gate = Gate()
    async with (
        listening(tmp_path, [progress(1), gate, succeed]) as (_, (address,)),
        grpc.aio.insecure_channel(address) as channel,
    ):
        api = Api(channel)
        upload = await api.upload()
        first, *damaged, last = [(await api.job(upload_id=upload.upload_id)).job_id for _ in range(5)]
        await gate.reached.wait()
        for (table, column), job_id in zip(COLUMNS_OF_SONG, damaged, strict=True):
            damage(tmp_path, table, column, b"{", job_id)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await api.jobs.SetMarks(job_service_pb2.SetMarksRequest(job_id=job_id))
            assert error_info(error.value)[:2] == (grpc.StatusCode.DATA_LOSS, "STORE_DAMAGED")
        gate.open()
        for job_id in (first, *damaged, last):
            await api.watch(job_id)
        assert {(await get(api, job_id)).error.reason for job_id in damaged} == {"STORE_DAMAGED"}
        assert (await get(api, last)).state == job_pb2.JOB_STATE_SUCCEEDED


async def test_a_damaged_event_is_a_notice_and_ends_no_watch(tmp_path):
    async with (
        listening(tmp_path, [progress(1), succeed]) as (_, (address,)),
        grpc.aio.insecure_channel(address) as channel,
    ):
        api = Api(channel)
        job = await api.job()
        events = await api.watch(job.job_id)
        for event in events:
            damage(tmp_path, "events", "body", b"\xff", event.seq, "seq")
        again = await api.watch(job.job_id)
        assert [event.seq for event in again] == [event.seq for event in events]
        assert {event.notice.reason for event in again} == {"STORE_DAMAGED"}


@pytest.mark.parametrize("column", ["audio", "format"])
async def test_a_damaged_upload_is_sent_again_under_its_request(tmp_path, column):
    async with listening(tmp_path) as (_, (address,)), grpc.aio.insecure_channel(address) as channel:
        api = Api(channel)
        fields = {"request_id": "r", "format": FILE, "size_bytes": len(SONG)}
        upload_id = (await api.create_upload(**fields)).upload_id
        await send(api, upload_id)
        damage(tmp_path, "uploads", column, b"{", upload_id, "upload_id")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await api.job(upload_id=upload_id)
        assert error_info(error.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_DAMAGED")
        listed = await api.uploads.ListUploads(upload_service_pb2.ListUploadsRequest())
        assert [upload.upload_id for upload in listed.uploads] == [upload_id]
        assert (await api.create_upload(**fields)).upload_id == upload_id
        await send(api, upload_id)
        job = await api.job(upload_id=upload_id)
        await api.watch(job.job_id)
        assert (await get(api, job.job_id)).state == job_pb2.JOB_STATE_SUCCEEDED


async def send(api, upload_id):
    answers = [answer async for answer in api.uploads.WriteUpload(write(upload_id, SONG, finish=True))]
    assert answers[-1].upload.state == upload_service_pb2.UPLOAD_STATE_COMPLETE
