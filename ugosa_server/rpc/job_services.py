"""JobService and JobArrayService."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ugosa_server.errors import BadOptionError
from ugosa_server.jobs.queue import ArrayItem, JobQueue
from ugosa_server.jobs.quotas import Stream
from ugosa_server.rpc.chunks import read_chunks
from ugosa_server.rpc.convert import (
    JOB_STATE_OF_WIRE,
    array_to_wire,
    checked_page_size,
    event_to_wire,
    job_to_wire,
    marks_from_wire,
    options_from_wire,
)
from ugosa_server.rpc.interceptors import Context, current_principal
from ugosa_server.wire.ugosa.v1 import job_array_service_pb2 as array_wire
from ugosa_server.wire.ugosa.v1 import job_service_pb2 as wire
from ugosa_server.wire.ugosa.v1.job_array_service_pb2_grpc import JobArrayServiceServicer
from ugosa_server.wire.ugosa.v1.job_service_pb2_grpc import JobServiceServicer


class JobService(JobServiceServicer):
    """See protos/ugosa/v1/job_service.proto."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    async def CreateJob(self, request: wire.CreateJobRequest, context: Context) -> wire.CreateJobResponse:
        job = await self._jobs.create(
            current_principal(),
            request.request_id,
            request.upload_id,
            options_from_wire(request.options),
            marks_from_wire(request.marks),
            reuse=request.reuse,
        )
        return wire.CreateJobResponse(job=job_to_wire(job))

    async def GetJob(self, request: wire.GetJobRequest, context: Context) -> wire.GetJobResponse:
        return wire.GetJobResponse(job=job_to_wire(await self._jobs.get(current_principal(), request.job_id)))

    async def ListJobs(self, request: wire.ListJobsRequest, context: Context) -> wire.ListJobsResponse:
        page_size = checked_page_size(request.page_size)
        for state in request.states:
            if state not in JOB_STATE_OF_WIRE:
                raise BadOptionError(f"there is no job state {state}")
        principal, states = current_principal(), [JOB_STATE_OF_WIRE[state] for state in request.states]
        jobs, token = await self._jobs.store(
            lambda s: s.jobs.page(principal, states, request.page_token, page_size, request.song_sha256)
        )
        return wire.ListJobsResponse(jobs=[job_to_wire(job) for job in jobs], next_page_token=token)

    async def SetMarks(self, request: wire.SetMarksRequest, context: Context) -> wire.SetMarksResponse:
        job = await self._jobs.set_marks(current_principal(), request.job_id, marks_from_wire(request.marks))
        return wire.SetMarksResponse(job=job_to_wire(job))

    async def WatchJob(
        self, request: wire.WatchJobRequest, context: Context
    ) -> AsyncGenerator[wire.WatchJobResponse, None]:
        async with aclosing(
            self._jobs.watch(current_principal(), request.job_id, request.after_seq)
        ) as events:
            async for event in events:
                yield wire.WatchJobResponse(event=event_to_wire(event))

    async def CancelJob(self, request: wire.CancelJobRequest, context: Context) -> wire.CancelJobResponse:
        job = await self._jobs.cancel(current_principal(), request.job_id)
        return wire.CancelJobResponse(job=job_to_wire(job))

    async def AcceptJob(self, request: wire.AcceptJobRequest, context: Context) -> wire.AcceptJobResponse:
        job = await self._jobs.accept(current_principal(), request.job_id)
        return wire.AcceptJobResponse(job=job_to_wire(job))

    async def DeleteJob(self, request: wire.DeleteJobRequest, context: Context) -> wire.DeleteJobResponse:
        await self._jobs.delete(current_principal(), request.job_id)
        return wire.DeleteJobResponse()

    async def StarJob(self, request: wire.StarJobRequest, context: Context) -> wire.StarJobResponse:
        principal = current_principal()
        job = await self._jobs.store(
            lambda s: s.jobs.star(principal, request.job_id, starred=request.starred)
        )
        return wire.StarJobResponse(job=job_to_wire(job))

    async def ReadStem(
        self, request: wire.ReadStemRequest, context: Context
    ) -> AsyncGenerator[wire.ReadStemResponse, None]:
        wanted = (current_principal(), request.job_id, request.source)
        if request.take == wire.STEM_TAKE_PREVIEW:
            file = await self._jobs.results.preview_file(*wanted, request.preview_step)
        else:
            file = await self._jobs.results.stem_file(*wanted, of_base=request.take == wire.STEM_TAKE_BASE)
        with self._jobs.quotas.streaming(Stream.READ, current_principal()):
            async for chunk in read_chunks(file, request.offset, request.length):
                yield wire.ReadStemResponse(chunk=chunk)

    async def ReadAdapter(
        self, request: wire.ReadAdapterRequest, context: Context
    ) -> AsyncGenerator[wire.ReadAdapterResponse, None]:
        file = await self._jobs.results.adapter_file(current_principal(), request.job_id)
        with self._jobs.quotas.streaming(Stream.READ, current_principal()):
            async for chunk in read_chunks(file, request.offset, 0):
                yield wire.ReadAdapterResponse(chunk=chunk)

    async def ReadReport(
        self, request: wire.ReadReportRequest, context: Context
    ) -> AsyncGenerator[wire.ReadReportResponse, None]:
        if request.format not in (wire.REPORT_FORMAT_JSON, wire.REPORT_FORMAT_HTML):
            raise BadOptionError("format must be JSON or HTML")
        file = await self._jobs.results.report_file(
            current_principal(), request.job_id, html=request.format == wire.REPORT_FORMAT_HTML
        )
        with self._jobs.quotas.streaming(Stream.READ, current_principal()):
            async for chunk in read_chunks(file, 0, 0):
                yield wire.ReadReportResponse(chunk=chunk)


class JobArrayService(JobArrayServiceServicer):
    """See protos/ugosa/v1/job_array_service.proto."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    async def CreateJobArray(
        self, request: array_wire.CreateJobArrayRequest, context: Context
    ) -> array_wire.CreateJobArrayResponse:
        shared = options_from_wire(request.options)
        items = [
            ArrayItem(
                item.upload_id,
                options_from_wire(item.options) if item.HasField("options") else shared,
                marks_from_wire(item.marks),
            )
            for item in request.items
        ]
        array = await self._jobs.create_array(current_principal(), request.request_id, items)
        return array_wire.CreateJobArrayResponse(array=array_to_wire(array))

    async def GetJobArray(
        self, request: array_wire.GetJobArrayRequest, context: Context
    ) -> array_wire.GetJobArrayResponse:
        array = await self._jobs.get_array(current_principal(), request.array_id)
        return array_wire.GetJobArrayResponse(array=array_to_wire(array))

    async def WatchJobArray(
        self, request: array_wire.WatchJobArrayRequest, context: Context
    ) -> AsyncGenerator[array_wire.WatchJobArrayResponse, None]:
        async with aclosing(
            self._jobs.watch_array(current_principal(), request.array_id, request.after_seq)
        ) as events:
            async for array_seq, event in events:
                yield array_wire.WatchJobArrayResponse(array_seq=array_seq, event=event_to_wire(event))

    async def CancelJobArray(
        self, request: array_wire.CancelJobArrayRequest, context: Context
    ) -> array_wire.CancelJobArrayResponse:
        array = await self._jobs.cancel_array(current_principal(), request.array_id)
        return array_wire.CancelJobArrayResponse(array=array_to_wire(array))
