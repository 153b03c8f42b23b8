"""The health service tells everybody who asks, within the limits on watches, and is stopped by nobody."""

import asyncio
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.helpers.api import error_info, listening, serving
from tests.helpers.front import ROOMY
from tests.helpers.http2 import stalled_watch

pytestmark = pytest.mark.asyncio

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
JOB_SERVICE = "ugosa.v1.JobService"


async def test_a_watcher_that_takes_nothing_stops_nobody(tmp_path):
    async with listening(tmp_path) as (front, (address,)):
        path = address.removeprefix("unix:")
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(stalled_watch("/grpc.health.v1.Health/Watch"))
        await writer.drain()
        async with grpc.aio.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            for serving_now in (False, True, False):
                front.rpc.health.set(serving=serving_now)
                expected = SERVING if serving_now else NOT_SERVING
                assert (await asyncio.wait_for(watch.read(), 60)).status == expected
                assert (await health.Check(health_pb2.HealthCheckRequest())).status == expected
            watch.cancel()
        writer.close()


async def test_watches_of_health_are_limited(tmp_path):
    async with serving(tmp_path, quotas=replace(ROOMY, quota_watches=2)) as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest(service=JOB_SERVICE)) for _ in range(2)]
        for watch in watches:
            assert (await watch.read()).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await health.Watch(health_pb2.HealthCheckRequest()).read()
        assert error_info(error.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA")
        for watch in watches:
            watch.cancel()


async def test_a_service_that_is_not_there_is_said_to_be_unknown(tmp_path):
    async with serving(tmp_path) as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        request = health_pb2.HealthCheckRequest(service="x" * 1000)
        assert (await health.Watch(request).read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        with pytest.raises(grpc.aio.AioRpcError, match="no such service"):
            await health.Check(request)
