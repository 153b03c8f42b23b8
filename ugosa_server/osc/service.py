"""The OSC service: one socket in on loopback, one out per IP version."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ugosa_server.addresses import loopback_ip
from ugosa_server.errors import ConfigError, UgosaError, reason_of
from ugosa_server.osc.commands import (
    Accept,
    Address,
    Cancel,
    Command,
    Query,
    RateLimit,
    Subscribe,
    Subscribers,
    SubscriptionRefusedError,
    Unsubscribe,
    parse,
    subscriber_ip,
)
from ugosa_server.osc.frames import MalformedError
from ugosa_server.osc.sending import ProgressPublisher
from ugosa_server.osc.snapshot import JobFeed, JobSnapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OscOptions:
    """Addresses of control and of the configured peers."""

    listen: Address | None = None
    """Loopback address and port of the control socket; port 0 takes a free one; None = no control."""
    peers: tuple[Address, ...] = ()
    """Receivers of progress without a subscription; hosts need not be of this machine."""


@dataclass
class OscCounters:
    """Counts since the service started."""

    sent: int = 0
    commands: int = 0
    malformed: int = 0
    """Datagrams that were no command of this version."""
    refused: int = 0
    """Commands with a value out of range, or about a job that does not exist."""
    rate_limited: int = 0
    """Datagrams and commands dropped, unread, because there were too many."""


class OscService:
    """Publishes progress and carries out commands. Belongs to the event loop's thread."""

    def __init__(self, options: OscOptions, feed: JobFeed) -> None:
        self.counters = OscCounters()
        self._options = options
        self._feed = feed
        self._subscribers = Subscribers()
        self._rate_limit = RateLimit()
        self._peers: list[Address] = []
        self._listen: Address | None = None
        self._receiver: asyncio.DatagramTransport | None = None
        self._senders: dict[socket.AddressFamily, asyncio.DatagramTransport] = {}
        self._publisher: ProgressPublisher | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def listen_address(self) -> Address | None:
        """Where commands arrive, with the real port; None before `start` and without control."""
        return self._listen

    async def start(self) -> None:
        """Open the sockets and begin to publish the live jobs.

        Raises:
            ConfigError: the control address is not loopback or is taken, or a peer cannot be resolved.
        """
        try:
            await self._open()
        except ConfigError:
            await self.close()
            raise

    def publish(self, snapshot: JobSnapshot) -> None:
        """Send the new state of a job, as often as it changes. Does nothing unless started."""
        if self._publisher is not None:
            self._publisher.publish([snapshot])

    def discard(self, job_id: str) -> None:
        """Send nothing more of a job that was deleted. Does nothing unless started."""
        if self._publisher is not None:
            self._publisher.discard(job_id)

    async def close(self) -> None:
        """Close the sockets; commands that are being carried out are awaited."""
        if self._receiver is not None:
            self._receiver.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
        for sender in self._senders.values():
            sender.close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._peers = [await _resolved(peer) for peer in self._options.peers]
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, family=family)
            except OSError as error:  # a machine without IPv6
                log.debug("no OSC over %s: %s", family.name, error)
            else:
                self._senders[family] = sender
        if self._options.listen is not None:
            await self._open_receiver(self._options.listen)
        self._publisher = ProgressPublisher(self._send_to_all)
        self._send_live_jobs()

    async def _open_receiver(self, listen: Address) -> None:
        host, port = listen
        ip = loopback_ip(host)
        if ip is None:
            raise ConfigError(
                f"OSC control cannot listen on {host}:{port}: not an address of this machine's loopback"
                " interface; use 127.0.0.1 or ::1"
            )
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(
                lambda: _Receiver(self._connected, self._receive), local_addr=(ip, port)
            )
        except OSError as error:
            raise ConfigError(
                f"OSC control cannot listen on {host}:{port}: {reason_of(error)}; choose another port"
            ) from error

    def _connected(self, receiver: asyncio.DatagramTransport) -> None:
        self._receiver = receiver
        self._listen = receiver.get_extra_info("sockname")[:2]

    def _send_to_all(self, datagram: bytes) -> None:
        for target in {*self._peers, *self._subscribers.active(_now_s())}:
            sender = self._senders.get(_family(target))
            if sender is not None:
                sender.sendto(datagram, target)
                self.counters.sent += 1

    def _receive(self, datagram: bytes) -> None:
        if not self._rate_limit.permit(_now_s()):  # before a byte is looked at
            self.counters.rate_limited += 1
            return
        try:
            commands = parse(datagram)
        except MalformedError as error:
            self.counters.malformed += 1
            log.debug("OSC datagram dropped: %s", error)
            return
        for number, command in enumerate(commands):
            if number > 0 and not self._rate_limit.permit(_now_s()):
                self.counters.rate_limited += 1
                continue
            try:
                self._carry_out(command)
            except SubscriptionRefusedError as error:
                self._refuse(command, error)
            else:
                self.counters.commands += 1

    def _carry_out(self, command: Command) -> None:
        match command:
            case Subscribe(port, host, ttl_s):
                address = self._subscriber_address(host, port)
                if address == self._listen:
                    raise SubscriptionRefusedError(f"port {port} is the one that commands are sent to")
                self._subscribers.add(address, ttl_s, _now_s())
                self._send_live_jobs()
            case Unsubscribe(port, host):
                self._subscribers.remove(self._subscriber_address(host, port))
            case Query(None):
                self._send_live_jobs()
            case Query(str(job_id)):
                self._spawn(self._answered(command, self._query(job_id)))
            case Cancel(job_id):
                self._spawn(self._answered(command, self._feed.cancel(job_id)))
            case Accept(job_id):
                self._spawn(self._answered(command, self._feed.accept(job_id)))

    def _subscriber_address(self, host: str | None, port: int) -> Address:
        assert self._listen is not None  # a command has arrived there
        return (self._listen[0] if host is None else subscriber_ip(host), port)

    async def _query(self, job_id: str) -> None:
        self._send_again([await self._feed.snapshot(job_id)])

    async def _answered(self, command: Command, work: Coroutine[Any, Any, None]) -> None:
        """Carry out a command about a job, and count a refusal."""
        try:
            await work
        except UgosaError as error:
            self._refuse(command, error)

    def _send_live_jobs(self) -> None:
        self._send_again(self._feed.live_jobs())

    def _send_again(self, snapshots: Sequence[JobSnapshot]) -> None:
        if self._publisher is not None:
            self._publisher.publish(snapshots, again=True)

    def _refuse(self, command: Command, error: Exception) -> None:
        self.counters.refused += 1
        log.info("OSC %s refused: %s", type(command).__name__.lower(), error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an OSC command failed", exc_info=error)


class _Receiver(asyncio.DatagramProtocol):
    """Passes datagrams on without their source address, which can be forged."""

    def __init__(
        self, connected: Callable[[asyncio.DatagramTransport], None], received: Callable[[bytes], None]
    ) -> None:
        self._connected = connected
        self._received = received

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._connected(transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._received(data)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


async def _resolved(peer: Address) -> Address:
    host, port = peer
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ConfigError(
            f"OSC peer {host}:{port} cannot be found: {reason_of(error)}; give its IP address"
        ) from error
    ip, resolved_port = found[0][4][:2]
    return str(ip), int(resolved_port)
