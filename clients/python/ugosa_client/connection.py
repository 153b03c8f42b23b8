"""Channel to the server, errors of its calls, and patience with broken ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from ugosa_client.address import grpc_target
from ugosa_client.errors import (
    ClosedError,
    ServerUnavailableError,
    UgosaClientError,
    error_from_rpc,
    error_info,
)
from ugosa_client.identity import Identity, call_metadata, open_channel
from ugosa_client.wire.ugosa.v1.job_array_service_pb2_grpc import JobArrayServiceStub
from ugosa_client.wire.ugosa.v1.job_service_pb2_grpc import JobServiceStub
from ugosa_client.wire.ugosa.v1.marks_service_pb2_grpc import MarksServiceStub
from ugosa_client.wire.ugosa.v1.model_service_pb2_grpc import ModelServiceStub
from ugosa_client.wire.ugosa.v1.separation_service_pb2_grpc import SeparationServiceStub
from ugosa_client.wire.ugosa.v1.upload_service_pb2_grpc import UploadServiceStub

Response = TypeVar("Response")

KEEPALIVE_MS = 330_000  # above the 300 s that gRPC servers allow between pings on a quiet connection
KEEPALIVE_TIMEOUT_MS = 20_000
CONNECT_TIMEOUT_MS = 10_000  # a busy server may take long to greet; one that is not there refuses at once
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    # Reconnecting is paced by RetryPolicy; gRPC's own pause (1 s doubling to 120 s) would come on top.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),  # what gRPC gives a connection attempt
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Otherwise clients of one process share connections, and a new client inherits the pause of one that
    # failed.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class RetryPolicy:
    """Patience with broken calls."""

    attempts: int = 20
    """Failures in a row without progress, after which the error is raised; >= 1. The default's 70 s outlast a
    server that drains and starts again."""
    initial_s: float = 0.1
    """Wait after the first failure, in seconds; doubled after each further one."""
    maximum_s: float = 5.0
    """Longest wait, in seconds."""

    def delay_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row, with +-20 % jitter."""
        return min(self.maximum_s, self.initial_s * 2.0 ** (failures - 1)) * random.uniform(0.8, 1.2)


class Backoff:
    """Counter of failures in a row, with waits between them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0

    def made_progress(self) -> None:
        """Reset the count: something went through since."""
        self._failures = 0

    def wait_or_raise(self, error: UgosaClientError) -> None:
        """Wait before the next attempt, or raise `error` after enough failures."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise error
        time.sleep(self._policy.delay_s(self._failures))


class Connection:
    """Stubs of all services over one channel, with RPC errors as errors of this package."""

    def __init__(
        self,
        target: str,
        *,
        retry: RetryPolicy,
        timeout_s: float,
        identity: Identity,
        credentials: grpc.ChannelCredentials | None,
    ) -> None:
        self.target = target
        self._retry = retry
        self._timeout_s = timeout_s
        self._has_answered = False
        self._is_closed = False
        self._metadata = call_metadata(identity)
        self._channel = open_channel(grpc_target(target), identity, credentials, CHANNEL_OPTIONS)
        self.uploads = UploadServiceStub(self._channel)
        self.jobs = JobServiceStub(self._channel)
        self.arrays = JobArrayServiceStub(self._channel)
        self.marks = MarksServiceStub(self._channel)
        self.models = ModelServiceStub(self._channel)
        self.separation = SeparationServiceStub(self._channel)

    def close(self) -> None:
        """End all calls and close the channel."""
        self._is_closed = True
        self._channel.close()

    def backoff(self) -> Backoff:
        """Return a fresh count of failures for one piece of work."""
        return Backoff(self._retry)

    def unary(self, method: Callable[..., Response], request: Any) -> Response:
        """Call a unary method; retry while the server is briefly away, for all are idempotent."""
        backoff = self.backoff()
        while True:
            try:
                with self._errors():
                    return method(request, timeout=self._timeout_s, metadata=self._metadata)
            except ServerUnavailableError as error:
                self.wait_or_raise(backoff, error)

    @contextmanager
    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Iterator[Any]]:
        """Read the responses of a streaming call, which is cancelled when the block ends."""
        with self._errors():
            call = method(request, metadata=self._metadata)
            try:
                yield self._noting_answers(call)
            finally:
                call.cancel()

    def resumed(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """Yield the responses of a streaming call, made again after a break, as the request is then."""
        backoff = self.backoff()
        while True:
            try:
                with self.stream(method, request) as responses:
                    for response in responses:
                        backoff.made_progress()
                        yield response
                return
            except ServerUnavailableError as error:
                self.wait_or_raise(backoff, error)

    def pages(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """Yield the pages of a list, asked for as they are needed."""
        while True:
            page = self.unary(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _noting_answers(self, call: Iterator[Response]) -> Iterator[Response]:
        for response in call:
            self._has_answered = True
            yield response

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn RPC errors of the block into errors of this package; note that the server answers."""
        self._require_open()
        try:
            yield
        except ValueError:  # as gRPC says of a channel that another thread has closed just now
            self._require_open()
            raise
        except grpc.RpcError as error:
            converted = error_from_rpc(error, self.target)
            if not isinstance(converted, ServerUnavailableError) or error_info(error) is not None:
                self._has_answered = True
            raise converted from error
        self._has_answered = True

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedError(f"the client of {self.target} is closed; make a new one")

    def wait_or_raise(self, backoff: Backoff, error: UgosaClientError) -> None:
        """Wait for the next attempt; raise for a server that has never answered, or is gone."""
        if isinstance(error, ServerUnavailableError) and not self._has_answered:
            raise error
        try:
            backoff.wait_or_raise(error)
        except ServerUnavailableError:
            self._has_answered = False  # it is gone: what is asked next need not find that out again
            raise
