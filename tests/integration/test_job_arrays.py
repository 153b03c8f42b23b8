"""Many songs in one call and one watch: all or none, once, durable, in order, and nobody else's."""

import asyncio

import grpc
import pytest

from tests.helpers.api import SILENT, error_info, listening, serving
from tests.helpers.faulty_engine import FaultyEngine
from tests.helpers.front import PRINCIPAL, running_front
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_client import ArrayItem, JobState, StateChanged, UgosaClient
from ugosa_client import JobOptions as ClientOptions
from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.queue import ArrayItem as Item
from ugosa_server.wire.ugosa.v1 import job_array_service_pb2 as wire
from ugosa_server.wire.ugosa.v1 import job_pb2, job_service_pb2
from ugosa_server.wire.ugosa.v1.job_array_service_pb2_grpc import JobArrayServiceStub

pytestmark = pytest.mark.asyncio


def request(upload_ids, request_id="night", **fields):
    items = [wire.JobArrayItem(upload_id=upload_id, marks=SILENT) for upload_id in upload_ids]
    return wire.CreateJobArrayRequest(request_id=request_id, items=items, **fields)


async def watched(arrays, array_id, after_seq=0):
    return [
        answer
        async for answer in arrays.WatchJobArray(
            wire.WatchJobArrayRequest(array_id=array_id, after_seq=after_seq)
        )
    ]


async def test_one_watch_has_all_events_of_all_songs_once_and_in_order(tmp_path):
    async with serving(tmp_path, engine=FaultyEngine()) as api:
        arrays = JobArrayServiceStub(api.channel)
        uploads = [(await api.upload()).upload_id for _ in range(3)]
        array = (await arrays.CreateJobArray(request(uploads))).array
        assert (await arrays.CreateJobArray(request(uploads))).array.array_id == array.array_id
        seen = await watched(arrays, array.array_id)
        assert [answer.array_seq for answer in seen] == list(range(1, len(seen) + 1))
        for job_id in array.job_ids:
            of_job = [answer.event for answer in seen if answer.event.job_id == job_id]
            assert of_job == await api.watch(job_id)
            assert of_job[-1].state_changed.state == job_pb2.JOB_STATE_SUCCEEDED
        for after_seq in (1, len(seen) // 2, len(seen)):
            assert await watched(arrays, array.array_id, after_seq) == seen[after_seq:]
        answer = await arrays.GetJobArray(wire.GetJobArrayRequest(array_id=array.array_id))
        assert [(count.state, count.jobs) for count in answer.array.counts] == [
            (job_pb2.JOB_STATE_SUCCEEDED, 3)
        ]
        assert answer.array.last_seq == len(seen)


async def test_an_array_is_made_whole_or_the_error_names_the_item(tmp_path):
    async with serving(tmp_path, [Gate()], max_queued=3) as api:
        arrays = JobArrayServiceStub(api.channel)
        upload = (await api.upload()).upload_id
        for items, code, words in (
            ([upload, "upload-no", upload], grpc.StatusCode.NOT_FOUND, "item 2: no upload"),
            ([], grpc.StatusCode.INVALID_ARGUMENT, "0 items"),
            ([upload] * 9, grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue takes 3"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await arrays.CreateJobArray(request(items))
            assert error.value.code() == code
            assert words in error.value.details()
        assert not (await api.jobs.ListJobs(job_service_pb2.ListJobsRequest())).jobs
        await arrays.CreateJobArray(request([upload]))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await arrays.CreateJobArray(request([upload, upload]))
        assert error_info(error.value)[1] == "REQUEST_ID_CONFLICT"


async def test_cancelling_an_array_ends_what_has_not_ended(tmp_path):
    gate = Gate()
    async with serving(tmp_path, [progress(1), succeed], [progress(1), gate, succeed]) as api:
        arrays = JobArrayServiceStub(api.channel)
        upload = (await api.upload()).upload_id
        array = (await arrays.CreateJobArray(request([upload] * 3))).array
        await gate.reached.wait()
        await arrays.CancelJobArray(wire.CancelJobArrayRequest(array_id=array.array_id))
        seen = await watched(arrays, array.array_id)
        ends = {answer.event.job_id: answer.event.state_changed.state for answer in seen}
        assert [ends[job_id] for job_id in array.job_ids] == [
            job_pb2.JOB_STATE_SUCCEEDED,
            job_pb2.JOB_STATE_CANCELLED,
            job_pb2.JOB_STATE_CANCELLED,
        ]


async def test_an_array_survives_a_restart_and_its_numbers_go_on(tmp_path):
    gate = Gate()
    async with running_front(tmp_path, [progress(1), gate]) as front:
        upload = await front.upload()
        items = [Item(upload.upload_id, JobOptionsRequest(), ())] * 2
        array = await front.jobs.create_array(PRINCIPAL, "night", items)
        await gate.reached.wait()
        before = await front.store(lambda s: s.events.after_in_array(array.array_id, 0, 100))
    async with running_front(tmp_path) as front:
        assert (await front.jobs.create_array(PRINCIPAL, "night", items)).array_id == array.array_id
        seen = [item async for item in front.jobs.watch_array(PRINCIPAL, array.array_id, 0)]
        assert seen[: len(before)] == before
        assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))


async def test_deleting_its_jobs_ends_an_array_and_others_never_see_it(tmp_path):
    async with running_front(tmp_path) as front:
        upload = await front.upload()
        array = await front.jobs.create_array(
            PRINCIPAL, "night", [Item(upload.upload_id, JobOptionsRequest(), ())] * 2
        )
        with pytest.raises(NotFoundError):
            await front.jobs.get_array("somebody else", array.array_id)
        seen = [item async for item in front.jobs.watch_array(PRINCIPAL, array.array_id, 0)]
        first, second = array.job_ids
        await front.jobs.delete(PRINCIPAL, first)
        rest = [item async for item in front.jobs.watch_array(PRINCIPAL, array.array_id, 0)]
        assert rest == [item for item in seen if item[1].job_id == second]
        await front.jobs.delete(PRINCIPAL, second)
        with pytest.raises(NotFoundError):
            await front.jobs.get_array(PRINCIPAL, array.array_id)


async def test_the_number_of_items_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.jobs.queue.MAX_ITEMS", 2)
    async with serving(tmp_path) as api:
        upload = (await api.upload()).upload_id
        with pytest.raises(grpc.aio.AioRpcError, match="1 to 2"):
            await JobArrayServiceStub(api.channel).CreateJobArray(request([upload] * 3))


async def test_the_client_makes_and_follows_an_array(tmp_path):
    async with listening(tmp_path, engine=FaultyEngine()) as (front, (address,)):
        upload = await front.upload()

        def use():
            with UgosaClient(address) as client:
                items = [
                    ArrayItem(upload.upload_id),
                    ArrayItem(upload.upload_id, options=ClientOptions(seed=7)),
                ]
                array = client.create_array(items, options=ClientOptions(seed=3))
                seen = list(client.watch_array(array.array_id))
                jobs = [client.get_job(job_id) for job_id in array.job_ids]
                return array, seen, jobs, client.get_array(array.array_id)

        array, seen, jobs, after = await asyncio.to_thread(use)
        assert [job.options.seed for job in jobs] == [3, 7]
        assert {job.array_id for job in jobs} == {array.array_id}
        assert sum(isinstance(item.event, StateChanged) for item in seen) == 6
        assert after.counts == {JobState.SUCCEEDED: 2}
        assert after.last_seq == seen[-1].array_seq
