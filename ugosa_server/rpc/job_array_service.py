"""JobArrayService."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc.aio

from ugosa_server.jobs.job_arrays import ArrayItem, JobArrays
from ugosa_server.jobs.records import JobArray
from ugosa_server.rpc.auth import current_principal
from ugosa_server.rpc.convert import (
    JOB_STATES,
    event_to_wire,
    marks_from_wire,
    timestamp,
)
from ugosa_server.rpc.convert_options import options_from_wire
from ugosa_server.rpc.error_table import explains_errors, explains_stream_errors
from ugosa_server.wire.ugosa.v1 import job_array_service_pb2 as wire
from ugosa_server.wire.ugosa.v1.job_array_service_pb2_grpc import JobArrayServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class JobArrayService(JobArrayServiceServicer):
    """See protos/ugosa/v1/job_array_service.proto."""

    def __init__(self, arrays: JobArrays) -> None:
        self._arrays = arrays

    @explains_errors
    async def CreateJobArray(  # noqa: N802
        self, request: wire.CreateJobArrayRequest, context: Context
    ) -> wire.CreateJobArrayResponse:
        """See the proto."""
        shared = options_from_wire(request.options)
        items = [
            ArrayItem(
                item.upload_id,
                options_from_wire(item.options) if item.HasField("options") else shared,
                marks_from_wire(item.marks),
            )
            for item in request.items
        ]
        array = await self._arrays.create(current_principal(), request.request_id, items)
        return wire.CreateJobArrayResponse(array=_array_to_wire(array))

    @explains_errors
    async def GetJobArray(  # noqa: N802
        self, request: wire.GetJobArrayRequest, context: Context
    ) -> wire.GetJobArrayResponse:
        """See the proto."""
        array = await self._arrays.get(current_principal(), request.array_id)
        return wire.GetJobArrayResponse(array=_array_to_wire(array))

    @explains_stream_errors
    async def WatchJobArray(  # noqa: N802
        self, request: wire.WatchJobArrayRequest, context: Context
    ) -> AsyncGenerator[wire.WatchJobArrayResponse, None]:
        """See the proto."""
        async with aclosing(
            self._arrays.watch(current_principal(), request.array_id, request.after_seq)
        ) as events:
            async for array_seq, event in events:
                yield wire.WatchJobArrayResponse(array_seq=array_seq, event=event_to_wire(event))

    @explains_errors
    async def CancelJobArray(  # noqa: N802
        self, request: wire.CancelJobArrayRequest, context: Context
    ) -> wire.CancelJobArrayResponse:
        """See the proto."""
        array = await self._arrays.cancel(current_principal(), request.array_id)
        return wire.CancelJobArrayResponse(array=_array_to_wire(array))


def _array_to_wire(array: JobArray) -> wire.JobArray:
    return wire.JobArray(
        array_id=array.array_id,
        request_id=array.request_id,
        job_ids=array.job_ids,
        last_seq=array.last_seq,
        create_time=timestamp(array.create_time_s),
        counts=[
            wire.JobStateCount(state=JOB_STATES[state], jobs=jobs) for state, jobs in array.counts.items()
        ],
    )
