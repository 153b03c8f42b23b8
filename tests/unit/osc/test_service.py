"""The service over real loopback sockets, with python-osc and with liblo's tools as the foreign end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import build_msg

from ugosa_server.errors import ConfigError, NotFoundError
from ugosa_server.jobs import JobState
from ugosa_server.osc import JobSnapshot, OscService

WAIT_S = 60.0
LOOPBACK = "127.0.0.1"
RUNNING = JobSnapshot("job-1", seq=3, state=JobState.RUNNING, fraction=0.5, eta_s=12.0, text="epoch 5 of 10")

needs_liblo = pytest.mark.skipif(
    shutil.which("oscdump") is None or shutil.which("oscsend") is None,
    reason="liblo's oscdump and oscsend are not installed (apt-get install liblo-tools)",
)


class Jobs:
    """A server with some jobs, which ends what is cancelled."""

    def __init__(self, *snapshots: JobSnapshot) -> None:
        self.by_id = {snapshot.job_id: snapshot for snapshot in snapshots}
        self.cancelled: asyncio.Queue[str] = asyncio.Queue()
        self.accepted: asyncio.Queue[str] = asyncio.Queue()

    def live_jobs(self) -> Sequence[JobSnapshot]:
        return [snapshot for snapshot in self.by_id.values() if not snapshot.state.ended]

    async def snapshot(self, job_id: str) -> JobSnapshot:
        if job_id not in self.by_id:
            raise NotFoundError(f"there is no job {job_id!r}")
        return self.by_id[job_id]

    async def cancel(self, job_id: str) -> None:
        job = await self.snapshot(job_id)
        self.by_id[job_id] = replace(job, seq=job.seq + 1, state=JobState.CANCELLED)
        self.cancelled.put_nowait(job_id)

    async def accept(self, job_id: str) -> None:
        await self.snapshot(job_id)
        self.accepted.put_nowait(job_id)


class Inbox(asyncio.DatagramProtocol):
    """A display: remembers what arrives."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.port = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._arrived.put_nowait(data)

    @property
    def waiting(self) -> int:
        return self._arrived.qsize()

    async def next(self) -> OscMessage:
        return OscMessage(await asyncio.wait_for(self._arrived.get(), WAIT_S))


@contextlib.asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Inbox, local_addr=(LOOPBACK, 0))
    try:
        yield protocol
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def service(jobs: Jobs, peers: Iterable[Inbox] = ()) -> AsyncIterator[OscService]:
    osc = OscService(jobs, (LOOPBACK, 0), [("localhost", peer.port) for peer in peers])
    await osc.start()
    try:
        yield osc
    finally:
        await osc.close()


def send(osc: OscService, address: str, *arguments: int | str) -> None:
    assert osc.listen_address is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(build_msg(address, list(arguments)).dgram, osc.listen_address)


async def until(condition: object, osc: OscService) -> None:
    """Let the loop turn until the counters satisfy `condition`."""
    async with asyncio.timeout(WAIT_S):
        while not condition(osc.counters):  # type: ignore[operator]
            await asyncio.sleep(0)


def test_peers_get_live_jobs_at_start_and_every_change() -> None:
    async def run() -> None:
        async with inbox() as display, service(Jobs(RUNNING), [display]) as osc:
            message = await display.next()
            assert message.address == "/ugosa/v1/job/progress"
            assert message.params == ["job-1", 3, "RUNNING", 0.5, 12.0, "epoch 5 of 10"]
            osc.publisher.publish(replace(RUNNING, seq=4, fraction=0.75))
            while message.params[1] == 3:  # again, once a second has gone by
                message = await display.next()
            assert message.params[:4] == ["job-1", 4, "RUNNING", 0.75]

    asyncio.run(run())


def test_end_of_a_job_is_sent_five_times() -> None:
    async def run() -> list[int]:
        async with inbox() as display, service(Jobs(), [display]) as osc:
            osc.publisher.publish(replace(RUNNING, seq=9, state=JobState.SUCCEEDED))
            return [(await display.next()).params[1] for _ in range(5)]

    assert asyncio.run(run()) == [9] * 5


def test_subscriber_gets_progress_until_it_unsubscribes() -> None:
    async def run() -> None:
        async with inbox() as display, service(Jobs(RUNNING)) as osc:
            send(osc, "/ugosa/v1/subscribe", display.port, LOOPBACK, 600)
            assert (await display.next()).params[0] == "job-1"
            send(osc, "/ugosa/v1/unsubscribe", display.port)
            await until(lambda counters: counters["commands"] == 2, osc)
            async with inbox() as other:
                send(osc, "/ugosa/v1/subscribe", other.port)
                while (await other.next()).params[0] != "job-2":
                    osc.publisher.publish(replace(RUNNING, job_id="job-2"))
            arrived = [(await display.next()).params[0] for _ in range(display.waiting)]
            assert "job-2" not in arrived

    asyncio.run(run())


def test_sender_of_a_packet_is_never_answered() -> None:
    async def run() -> None:
        async with inbox() as display, service(Jobs(RUNNING), [display]) as osc:
            await display.next()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((LOOPBACK, 0))
                stranger.setblocking(False)
                stranger.sendto(build_msg("/ugosa/v1/query", ["job-1"]).dgram, osc.listen_address)
                assert (await display.next()).params[0] == "job-1"  # what the query brought has been sent
                with pytest.raises(BlockingIOError):
                    stranger.recv(2000)

    asyncio.run(run())


def test_query_sends_a_job_that_has_ended() -> None:
    async def run() -> None:
        jobs = Jobs(replace(RUNNING, state=JobState.FAILED, seq=8))
        async with inbox() as display, service(jobs, [display]) as osc:
            send(osc, "/ugosa/v1/query", "job-1")
            assert (await display.next()).params[:3] == ["job-1", 8, "FAILED"]

    asyncio.run(run())


def test_cancel_reaches_the_server_once_per_message() -> None:
    async def run() -> None:
        jobs = Jobs(RUNNING)
        async with service(jobs) as osc:
            send(osc, "/ugosa/v1/cancel", "job-1")
            assert await asyncio.wait_for(jobs.cancelled.get(), WAIT_S) == "job-1"
            assert jobs.cancelled.empty()

    asyncio.run(run())


def test_accept_reaches_the_server_and_cancels_nothing() -> None:
    async def run() -> None:
        jobs = Jobs(RUNNING)
        async with service(jobs) as osc:
            send(osc, "/ugosa/v1/accept", "job-1")
            assert await asyncio.wait_for(jobs.accepted.get(), WAIT_S) == "job-1"
            assert jobs.cancelled.empty()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("/ugosa/v1/cancel", ["no-such-job"]),
        ("/ugosa/v1/accept", ["no-such-job"]),
        ("/ugosa/v1/query", ["no-such-job"]),
        ("/ugosa/v1/subscribe", [9877, "192.0.2.1"]),
        *[
            ("/ugosa/v1/subscribe", [9877, host])
            for host in ("8.8.8.8", "0.0.0.0", "::", "", "example.com", "localhost.evil.org")
        ],
        ("/ugosa/v1/subscribe", [70000]),
        ("/ugosa/v1/subscribe", [9877, 100_000]),
    ],
)
def test_refused_commands_are_counted_and_change_nothing(address: str, arguments: list[int | str]) -> None:
    async def run() -> None:
        async with service(Jobs(RUNNING)) as osc:
            send(osc, address, *arguments)
            await until(lambda counters: counters["refused"] == 1, osc)
            assert osc.counters["sent"] == 0

    asyncio.run(run())


def test_service_cannot_be_subscribed_to_itself() -> None:
    async def run() -> None:
        async with service(Jobs(RUNNING)) as osc:
            assert osc.listen_address is not None
            send(osc, "/ugosa/v1/subscribe", osc.listen_address[1])
            await until(lambda counters: counters["refused"] == 1, osc)
            assert osc.counters["sent"] == 0

    asyncio.run(run())


def test_malformed_datagrams_are_counted_and_skipped() -> None:
    async def run() -> None:
        jobs = Jobs(RUNNING)
        async with service(jobs) as osc:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for datagram in (b"", b"\0" * 64, b"/ugosa/v1/cancel\0\0\0\0,s\0\0\xff\0\0\0"):
                    sender.sendto(datagram, osc.listen_address)
            send(osc, "/ugosa/v1/cancel", "job-1")
            await asyncio.wait_for(jobs.cancelled.get(), WAIT_S)
            assert osc.counters["malformed"] == 3

    asyncio.run(run())


def test_flood_of_cancels_is_cut_to_the_rate() -> None:
    async def run() -> None:
        jobs = Jobs(RUNNING)
        async with service(jobs) as osc:
            began_s = time.monotonic()
            for _ in range(100):
                send(osc, "/ugosa/v1/cancel", "job-1")
            await until(lambda counters: counters["commands"] + counters["rate_limited"] == 100, osc)
            passed_s = time.monotonic() - began_s
            assert osc.counters["commands"] <= 20 + 20 * passed_s, "20 at once, and 20 more for every second"

    asyncio.run(run())


def test_flood_of_nonsense_is_cut_before_it_is_read() -> None:
    async def run() -> None:
        async with service(Jobs()) as osc:
            began_s = time.monotonic()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(100):
                    sender.sendto(b"#bundle\0" * 4, osc.listen_address)
            await until(lambda counters: counters["malformed"] + counters["rate_limited"] == 100, osc)
            assert osc.counters["malformed"] <= 20 + 20 * (time.monotonic() - began_s)

    asyncio.run(run())


def test_flood_of_queries_keeps_the_rate_of_progress() -> None:
    async def run() -> None:
        jobs = Jobs(RUNNING)
        async with inbox() as display, service(jobs, [display]) as osc:
            await display.next()
            began_s, before = time.monotonic(), osc.counters["sent"]
            for _ in range(100):
                send(osc, "/ugosa/v1/query", "job-1")
            await until(lambda counters: counters["commands"] + counters["rate_limited"] == 100, osc)
            passed_s = time.monotonic() - began_s
            sent = osc.counters["sent"] - before
            assert sent <= 1 + 4 * passed_s, "one datagram each, at most four a second"

    asyncio.run(run())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])
def test_control_refuses_to_listen_beyond_loopback(host: str) -> None:
    async def run() -> None:
        await OscService(Jobs(), (host, 9876)).start()

    with pytest.raises(ConfigError, match=r"use 127\.0\.0\.1"):
        asyncio.run(run())


def test_taken_control_port_is_named() -> None:
    async def run(port: int) -> None:
        await OscService(Jobs(), (LOOPBACK, port)).start()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, 0))
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*choose another port"):
            asyncio.run(run(port))


@needs_liblo
def test_oscdump_reads_progress() -> None:
    async def run() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
        dump = await asyncio.create_subprocess_exec(
            "oscdump", "-L", str(port), stdout=asyncio.subprocess.PIPE
        )
        assert dump.stdout is not None
        osc = OscService(Jobs(replace(RUNNING, text="Größe 漢")), peers=[(LOOPBACK, port)])
        await osc.start()  # the heartbeat reaches oscdump even if it opens its port after the first datagram
        try:
            line = await asyncio.wait_for(dump.stdout.readline(), WAIT_S)
        finally:
            await osc.close()
            dump.kill()
            await dump.wait()
        return line.decode()

    line = asyncio.run(run())
    assert '/ugosa/v1/job/progress sisffs "job-1" 3 "RUNNING" 0.5' in line
    assert "12.0" in line
    assert "Größe 漢" in line


@needs_liblo
def test_oscsend_subscribes_and_cancels() -> None:
    async def run() -> None:
        jobs = Jobs(RUNNING)

        async def oscsend(*words: str) -> None:
            assert osc.listen_address is not None
            process = await asyncio.create_subprocess_exec(
                "oscsend", LOOPBACK, str(osc.listen_address[1]), *words
            )
            assert await process.wait() == 0

        async with inbox() as display, service(jobs) as osc:
            await oscsend("/ugosa/v1/subscribe", "i", str(display.port))
            assert (await display.next()).params[0] == "job-1"
            await oscsend("/ugosa/v1/query")
            assert (await display.next()).params[0] == "job-1"
            await oscsend("/ugosa/v1/cancel", "s", "job-1")
            assert await asyncio.wait_for(jobs.cancelled.get(), WAIT_S) == "job-1"

    asyncio.run(run())
