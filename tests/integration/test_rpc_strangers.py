"""Strangers on a port, before anybody knows who they are, cost the server little: over real sockets."""

import asyncio
import contextlib
import re
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import grpc
import grpc.aio
import pytest

from tests.helpers.api import Api, listening
from ugosa_server.rpc import limits
from ugosa_server.wire.ugosa.v1 import job_service_pb2, upload_service_pb2

pytestmark = pytest.mark.asyncio

BOMB_BYTES = 100_000_000
WAIT_S = 30.0
BOMB = f"""
import sys, grpc
call = grpc.insecure_channel(sys.argv[1]).unary_unary(
    "/ugosa.v1.JobService/ListJobs", request_serializer=bytes, response_deserializer=bytes
)
try:
    call(bytes({BOMB_BYTES}), compression=grpc.Compression.Gzip, wait_for_ready=True, timeout=60)
except grpc.RpcError as error:
    print(error.code().name)
"""


def peak_bytes():
    """The most memory that this process has had since it was last cleared."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


async def test_a_compressed_bomb_is_never_unpacked(tmp_path):
    async with listening(tmp_path, listen=["127.0.0.1:0"], require_token_on_loopback=True) as (_, (address,)):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak_bytes()
        bomb = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", BOMB, address], capture_output=True, text=True, check=True
        )
        assert bomb.stdout.strip() in ("UNIMPLEMENTED", "UNAUTHENTICATED")
        assert peak_bytes() - before < BOMB_BYTES / 4


async def test_a_stranger_is_refused_before_the_request_is_sent(tmp_path):
    async with (
        listening(tmp_path, listen=["127.0.0.1:0"], require_token_on_loopback=True) as (_, (address,)),
        grpc.aio.insecure_channel(address) as channel,
    ):
        for method in ("ListJobs", "WatchJob", "NoSuchMethod"):  # each takes one message; none is sent
            call = channel.stream_unary(f"/ugosa.v1.JobService/{method}")
            with pytest.raises(grpc.aio.AioRpcError) as error:
                async with asyncio.timeout(WAIT_S):
                    await call()
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_call_without_its_request_is_bad_input(tmp_path):
    async with (
        listening(tmp_path) as (_, (address,)),
        grpc.aio.insecure_channel(address) as channel,
    ):
        call = channel.stream_unary("/ugosa.v1.JobService/ListJobs")()
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError, match="before its request came"):
            await call


async def test_idle_connections_leave_the_owner_room(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with mock.patch.object(limits, "port_connections", return_value=20), contextlib.ExitStack() as stack:
        where = ["127.0.0.1:0", f"unix:{tmp_path}/u.sock"]
        async with listening(tmp_path, listen=where) as (front, (port, path)):
            host, _, number = port.rpartition(":")
            for _ in range(200):
                stack.enter_context(socket.create_connection((host, int(number))))
            async with grpc.aio.insecure_channel(path) as channel:
                began_s = time.monotonic()
                await Api(channel).jobs.ListJobs(job_service_pb2.ListJobsRequest())
                assert time.monotonic() - began_s < 5
                await front.upload()  # a decoder is a child with pipes
            held = sum(1 for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
            assert held < 200 + 100, "the server keeps only so many of them"
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.mark.parametrize(("descriptors", "connections"), [(64, 16), (256, 64), (1024, 832), (10**6, 4096)])
async def test_ports_leave_descriptors_for_the_owner(descriptors, connections):
    assert limits.port_connections(descriptors) == connections


async def list_until_refused(api):
    while True:  # until the server has taken the stalled ones
        await api.jobs.ListJobs(job_service_pb2.ListJobsRequest())


async def test_many_calls_of_a_port_do_not_hold_up_the_socket(tmp_path):
    where = ["127.0.0.1:0", f"unix:{tmp_path}/u.sock"]
    with mock.patch("ugosa_server.rpc.server.MAX_PORT_CALLS", 8):
        async with (
            listening(tmp_path, listen=where) as (_, (port, path)),
            grpc.aio.insecure_channel(port) as crowd,
            grpc.aio.insecure_channel(path) as owner,
        ):
            stalled = [Api(crowd).uploads.WriteUpload() for _ in range(8)]
            await asyncio.gather(*(call.wait_for_connection() for call in stalled))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await list_until_refused(Api(crowd))
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await Api(owner).jobs.ListJobs(job_service_pb2.ListJobsRequest())
            for call in stalled:
                call.cancel()


async def test_an_upload_larger_than_a_message_is_refused(tmp_path):
    async with listening(tmp_path) as (_, (address,)), grpc.aio.insecure_channel(address) as channel:
        name = "x" * limits.MAX_MESSAGE_BYTES
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await Api(channel).uploads.CreateUpload(upload_service_pb2.CreateUploadRequest(request_id=name))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
