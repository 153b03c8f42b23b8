"""The health service tells everybody who asks, within the limits on watches, and is stopped by nobody."""

import asyncio
import struct
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.helpers.api import error_info, listening, serving
from tests.helpers.front import ROOMY

pytestmark = pytest.mark.asyncio

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
JOB_SERVICE = "ugosa.v1.JobService"
SETTINGS, HEADERS, DATA = 4, 1, 0  # types of HTTP/2 frames
INITIAL_WINDOW_SIZE = 4
END_HEADERS, END_STREAM = 4, 1


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def stalled_watch(path):
    """Bytes of an HTTP/2 client that opens a stream and never takes a byte of it."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    headers = b"".join(
        b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    window = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, window)
        + frame(HEADERS, END_HEADERS, 1, headers)
        + frame(DATA, END_STREAM, 1, bytes(5))  # an empty request
    )


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
                front.rpc.set_serving(serving=serving_now)
                expected = SERVING if serving_now else NOT_SERVING
                assert (await asyncio.wait_for(watch.read(), 5)).status == expected
                assert (await health.Check(health_pb2.HealthCheckRequest())).status == expected
            watch.cancel()
        writer.close()


async def test_watches_of_health_are_limited(tmp_path):
    async with serving(tmp_path, quotas=replace(ROOMY, watches=2)) as api:
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
