"""Marks beyond all measure are refused, and many that are allowed slow nobody down for long."""

import asyncio
import time

import grpc
import grpc.aio
import pytest

from tests.helpers.api import error_info, serving
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_server.marks.lint import MAX_FINDINGS
from ugosa_server.rpc.convert import MAX_MARKS
from ugosa_server.wire.ugosa.v1 import job_service_pb2, marks_pb2, marks_service_pb2

pytestmark = pytest.mark.asyncio

MESSAGE_BYTES = 4 * 1024 * 1024


def many(count, source="vocals", end_frame=None):
    mark = marks_pb2.MARK_STATE_SILENT
    return marks_pb2.Marks(
        marks=[
            marks_pb2.Mark(
                source=source, state=mark, start_frame=n % 3000, end_frame=end_frame or n % 3000 + 9
            )
            for n in range(count)
        ]
    )


@pytest.mark.parametrize(
    ("marks", "reason"),
    [(many(MAX_MARKS + 1), "BAD_REGION"), (many(20, source="v" * 100_000), "UNKNOWN_SOURCE")],
)
async def test_marks_beyond_measure_are_refused(tmp_path, marks, reason):
    async with serving(tmp_path) as api:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await api.job(marks=marks)
        assert error_info(error.value)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_many_marks_keep_nobody_waiting(tmp_path):
    gate = Gate()
    script = [gate, *[progress(1)] * 30, succeed]
    async with serving(tmp_path, script) as api:
        upload = await api.upload()
        asked = asyncio.create_task(api.job(upload_id=upload.upload_id, marks=many(MAX_MARKS)))
        waits_s = []
        while not asked.done():
            began_s = time.monotonic()
            await api.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1))
            waits_s.append(time.monotonic() - began_s)
        job = await asked
        await gate.reached.wait()
        gate.open()
        await api.watch(job.job_id)
        assert max(waits_s) < 5, "on a machine that is busy with other things; it takes some ms"


async def test_jobs_of_many_marks_can_all_be_listed(tmp_path):
    gate = Gate()
    async with serving(tmp_path, [gate]) as api:
        upload = await api.upload()
        made = [(await api.job(upload_id=upload.upload_id, marks=many(MAX_MARKS))).job_id for _ in range(4)]
        listed, token = [], ""
        while True:
            request = job_service_pb2.ListJobsRequest(page_size=500, page_token=token)
            answer = await api.jobs.ListJobs(request)
            assert answer.ByteSize() < MESSAGE_BYTES / 2
            listed += [job.job_id for job in answer.jobs]
            token = answer.next_page_token
            if not token:
                break
        assert sorted(listed) == sorted(made)


async def test_findings_are_cut_with_their_number(tmp_path):
    async with serving(tmp_path) as api:
        upload = await api.upload()
        wrong = many(MAX_MARKS, end_frame=10**9)
        answer = await api.marks.LintMarks(
            marks_service_pb2.LintMarksRequest(upload_id=upload.upload_id, marks=wrong)
        )
        assert len(answer.findings) == MAX_FINDINGS + 1
        assert "further findings" in answer.findings[-1].message
        assert answer.ByteSize() < MESSAGE_BYTES
