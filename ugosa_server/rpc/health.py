"""The standard health service: whether jobs would start now, under the name of every service and under "".

grpcio-health-checking's own servicer holds a lock while it writes to a watcher, so that one who takes no byte
stops every change, and with it whoever makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ugosa_server.jobs.queue import JobQueue
from ugosa_server.rpc.error_table import explains_stream_errors
from ugosa_server.rpc.interceptors import Context, current_principal

Response = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):
    """See grpc/health/v1/health.proto; watches count as those of jobs do."""

    def __init__(self, names: Collection[str], jobs: JobQueue) -> None:
        self._names = frozenset(names)
        self._jobs = jobs
        self._status = Response.NOT_SERVING
        self._changed = asyncio.Event()

    def set(self, *, serving: bool) -> None:
        """Set the status of all services, and tell all watchers."""
        self._status = Response.SERVING if serving else Response.NOT_SERVING
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Response:  # noqa: N802
        """See the proto."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this server has no such service")
        return Response(status=self._status)

    @explains_stream_errors
    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncGenerator[Response, None]:
        """See the proto."""
        with self._jobs.watching(current_principal()):
            told: int | None = None
            while True:
                changed = self._changed
                status = self._status if request.service in self._names else Response.SERVICE_UNKNOWN
                if status != told:
                    told = status
                    yield Response(status=status)
                    continue  # it may have changed while the watcher took its time
                await changed.wait()
