"""The standard health service: whether jobs would start now, under the name of every service and under "".

grpcio-health-checking's own servicer holds a lock while it writes to a watcher, so that one who takes no byte
stops every change, and with it whoever makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ugosa_server.jobs.queue import JobQueue
from ugosa_server.rpc.interceptors import Context, current_principal

RESPONSE: Any = health_pb2.HealthCheckResponse  # the package has no types


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """See grpc/health/v1/health.proto; watches count as those of jobs do."""

    def __init__(self, names: Collection[str], jobs: JobQueue) -> None:
        self._names = frozenset(names)
        self._jobs = jobs
        self._status = RESPONSE.NOT_SERVING
        self._changed = asyncio.Event()

    def set(self, *, serving: bool) -> None:
        """Set the status of all services, and tell all watchers."""
        self._status = RESPONSE.SERVING if serving else RESPONSE.NOT_SERVING
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Any:  # noqa: N802
        """See the proto."""
        if request.service not in self._names:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("this server has no such service")
        return RESPONSE(status=self._status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncGenerator[Any, None]:
        """See the proto."""
        with self._jobs.watching(current_principal()):
            told: int | None = None
            while True:
                changed = self._changed
                status = self._status if request.service in self._names else RESPONSE.SERVICE_UNKNOWN
                if status != told:
                    told = status
                    yield RESPONSE(status=status)
                    continue  # it may have changed while the watcher took its time
                await changed.wait()
