"""The OSC service: one socket in on loopback, one out per IP version.

It sends the newest snapshot of every job when that is due:

    changed    ----> at once, but MIN_INTERVAL_S after the last datagram of this job
    unchanged  ----> every HEARTBEAT_S, unless it only waits in the queue
    ended      ----> TERMINAL_REPEATS times, TERMINAL_INTERVAL_S apart, then never again

A slow or lost datagram is replaced by a later one, never queued.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ugosa_server.addresses import loopback_ip
from ugosa_server.errors import BadOptionError, ConfigError, UgosaError, reason_of
from ugosa_server.jobs.events import JobState
from ugosa_server.osc.commands import (
    ACCEPT,
    CANCEL,
    QUERY,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Address,
    Command,
    MalformedError,
    RateLimit,
    Subscribers,
    parse,
)
from ugosa_server.osc.snapshot import JobFeed, JobSnapshot, encode

DEFAULT_TTL_S = 60  # of a subscription
MIN_INTERVAL_S = 0.25
HEARTBEAT_S = 1.0
TERMINAL_REPEATS = 5
TERMINAL_INTERVAL_S = 0.5  # five datagrams over two seconds

log = logging.getLogger(__name__)


@dataclass
class _Job:
    snapshot: JobSnapshot
    """The newest."""
    timer: asyncio.TimerHandle | None = None
    """Due time of its next datagram; None = not before a change."""
    last_sent_s: float = -math.inf
    repeats_left: int = TERMINAL_REPEATS


class ProgressPublisher:
    """Jobs that are live or have just ended, each with a timer of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[bytes], None]) -> None:
        """Publish with `send`, which must not block."""
        self._loop = loop
        self._send = send
        self._jobs: dict[str, _Job] = {}

    def publish(self, snapshot: JobSnapshot, *, again: bool = False) -> None:
        """Send a snapshot as soon as its job's rate allows.

        Args:
            snapshot: of a live or ended job; ignored if an as new one is known.
            again: send the known snapshot again, though nothing has changed.
        """
        job = self._jobs.get(snapshot.job_id)
        if job is None:
            job = self._jobs[snapshot.job_id] = _Job(snapshot)
        elif snapshot.seq > job.snapshot.seq:
            job.snapshot = snapshot
        elif not again:
            return
        due_s = max(self._loop.time(), job.last_sent_s + MIN_INTERVAL_S)
        if job.timer is None or due_s < job.timer.when():
            self._send_at(due_s, job)

    def discard(self, job_id: str) -> None:
        """Send nothing more of a live job that was deleted; the repeats of an end go on."""
        job = self._jobs.get(job_id)
        if job is not None and not job.snapshot.state.ended:
            self._drop(job)

    def close(self) -> None:
        """Send nothing more."""
        for job in list(self._jobs.values()):
            self._drop(job)

    def _drop(self, job: _Job) -> None:
        del self._jobs[job.snapshot.job_id]
        if job.timer is not None:
            job.timer.cancel()

    def _send_at(self, due_s: float, job: _Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        job.timer = self._loop.call_at(due_s, self._send_now, job)

    def _send_now(self, job: _Job) -> None:
        job.last_sent_s = self._loop.time()
        job.timer = None
        if job.snapshot.state.ended:
            job.repeats_left -= 1
        if job.repeats_left == 0:
            self._drop(job)
        elif job.snapshot.state is not JobState.QUEUED:
            interval_s = TERMINAL_INTERVAL_S if job.snapshot.state.ended else HEARTBEAT_S
            self._send_at(job.last_sent_s + interval_s, job)
        self._send(encode(job.snapshot))  # last: one that fails must not be the last of its job


class OscService(asyncio.DatagramProtocol):
    """Publishes progress, and carries out the commands that reach its control socket.

    Belongs to the event loop on which it is made.
    """

    def __init__(self, feed: JobFeed, listen: Address | None = None, peers: Sequence[Address] = ()) -> None:
        """Prepare the service.

        Args:
            feed: of the jobs.
            listen: loopback address and port for control; port 0 takes a free one; None = no control.
            peers: receivers of progress without a subscription; hosts need not be of this machine.
        """
        self._loop = asyncio.get_running_loop()
        self.counters: Counter[str] = Counter()
        """Datagrams `sent`, `commands` carried out, `malformed` datagrams, `refused` commands (a value out of
        range, no such job), and datagrams and commands dropped as `rate_limited`."""
        self.listen_address: Address | None = None
        """Where commands arrive, with the real port; None before `start` and without control."""
        self.publisher = ProgressPublisher(self._loop, self._send_to_all)
        """Sends the new state of a job, as often as it changes."""
        self._feed = feed
        self._listen = listen
        self._peers = peers
        self._subscribers = Subscribers()
        self._rate_limit = RateLimit()
        self._receiver: asyncio.DatagramTransport | None = None
        self._senders: dict[socket.AddressFamily, asyncio.DatagramTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._actions: dict[str, Callable[..., Awaitable[None]]] = {
            SUBSCRIBE: self._subscribe,
            UNSUBSCRIBE: self._unsubscribe,
            QUERY: self._query,
            CANCEL: feed.cancel,
            ACCEPT: feed.accept,
        }

    async def start(self) -> None:
        """Open the sockets and begin to publish the live jobs.

        Raises:
            ConfigError: the control address is not loopback or is taken, or a peer cannot be resolved.
        """
        try:
            self._peers = [await _resolved(*peer) for peer in self._peers]
            await self._open_senders()
            if self._listen is not None:
                await self._open_receiver(*self._listen)
        except ConfigError:
            await self.close()
            raise
        self._send_live_jobs()

    async def close(self) -> None:
        """Close the sockets; commands that are being carried out are awaited."""
        if self._receiver is not None:
            self._receiver.close()
        await asyncio.gather(*self._tasks)
        self.publisher.close()
        for sender in self._senders.values():
            sender.close()

    async def _open_senders(self) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                sender, _ = await self._loop.create_datagram_endpoint(asyncio.DatagramProtocol, family=family)
            except OSError as error:  # a machine without IPv6
                log.debug("no OSC over %s: %s", family.name, error)
            else:
                self._senders[family] = sender

    async def _open_receiver(self, host: str, port: int) -> None:
        ip = loopback_ip(host)
        if ip is None:
            raise ConfigError(
                f"OSC control cannot listen on {host}:{port}: not an address of this machine's loopback"
                " interface; use 127.0.0.1 or ::1"
            )
        try:
            await self._loop.create_datagram_endpoint(lambda: self, local_addr=(ip, port))
        except OSError as error:
            raise ConfigError(
                f"OSC control cannot listen on {host}:{port}: {reason_of(error)}; choose another port"
            ) from error

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Note the control socket."""
        self._receiver = transport
        self.listen_address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Carry out the commands of a datagram; its source address, which can be forged, is ignored."""
        if not self._permits():  # before a byte is looked at
            return
        try:
            commands = parse(data)
        except MalformedError as error:
            self.counters["malformed"] += 1
            log.debug("OSC datagram dropped: %s", error)
            return
        permitted = [command for place, command in enumerate(commands) if place == 0 or self._permits()]
        task = self._loop.create_task(self._carry_out(permitted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _permits(self) -> bool:
        permitted = self._rate_limit.permit(self._loop.time())
        self.counters["rate_limited"] += not permitted
        return permitted

    async def _carry_out(self, commands: Sequence[Command]) -> None:
        for address, arguments in commands:
            try:
                await self._actions[address](**arguments)
                self.counters["commands"] += 1
            except UgosaError as error:
                self.counters["refused"] += 1
                log.info("OSC %s refused: %s", address.rpartition("/")[2], error)
            except Exception:
                log.exception("an OSC command failed")

    async def _subscribe(self, port: int, host: str | None = None, ttl_s: int = DEFAULT_TTL_S) -> None:
        address = self._subscriber_address(port, host)
        if address == self.listen_address:
            raise BadOptionError(f"port {port} is the one that commands are sent to")
        self._subscribers.add(address, ttl_s, self._loop.time())
        self._send_live_jobs()

    async def _unsubscribe(self, port: int, host: str | None = None) -> None:
        self._subscribers.remove(self._subscriber_address(port, host))

    def _subscriber_address(self, port: int, host: str | None) -> Address:
        assert self.listen_address is not None  # a command has arrived there
        ip = self.listen_address[0] if host is None else loopback_ip(host)
        if ip is None:
            raise BadOptionError(f"host {host!r} is neither localhost nor a loopback IP address")
        return ip, port

    async def _query(self, job_id: str | None = None) -> None:
        if job_id is None:
            self._send_live_jobs()
        else:
            self.publisher.publish(await self._feed.snapshot(job_id), again=True)

    def _send_live_jobs(self) -> None:
        for snapshot in self._feed.live_jobs():
            self.publisher.publish(snapshot, again=True)

    def _send_to_all(self, datagram: bytes) -> None:
        for target in {*self._peers, *self._subscribers.active(self._loop.time())}:
            sender = self._senders.get(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
            if sender is not None:
                sender.sendto(datagram, target)
                self.counters["sent"] += 1


async def _resolved(host: str, port: int) -> Address:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ConfigError(
            f"OSC peer {host}:{port} cannot be found: {reason_of(error)}; give its IP address"
        ) from error
    ip, resolved_port = found[0][4][:2]
    return str(ip), int(resolved_port)
