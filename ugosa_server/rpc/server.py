"""The gRPC server: services, health, reflection, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ugosa_server.addresses import TcpAddress, TlsFiles, UnixAddress, checked_addresses, claim_socket
from ugosa_server.errors import ConfigError, reason_of
from ugosa_server.files import private_umask
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.quotas import Stream
from ugosa_server.jobs.uploads import Uploads
from ugosa_server.rpc.catalogue_services import MarksService, ModelService
from ugosa_server.rpc.interceptors import AuthInterceptor, Context, current_principal
from ugosa_server.rpc.job_services import JobArrayService, JobService
from ugosa_server.rpc.limits import MAX_PORT_CALLS, SERVER_OPTIONS, port_options
from ugosa_server.rpc.separation_service import SeparationService
from ugosa_server.rpc.upload_service import UploadService
from ugosa_server.wire.ugosa.v1.job_array_service_pb2_grpc import add_JobArrayServiceServicer_to_server
from ugosa_server.wire.ugosa.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from ugosa_server.wire.ugosa.v1.marks_service_pb2_grpc import add_MarksServiceServicer_to_server
from ugosa_server.wire.ugosa.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from ugosa_server.wire.ugosa.v1.separation_service_pb2_grpc import add_SeparationServiceServicer_to_server
from ugosa_server.wire.ugosa.v1.upload_service_pb2_grpc import add_UploadServiceServicer_to_server

FLUSH_S = 1.0  # for the last bytes of all connections

log = logging.getLogger(__name__)

SERVICE_NAMES = tuple(
    f"ugosa.v1.{name}Service" for name in ("Upload", "Job", "JobArray", "Marks", "Model", "Separation")
)
HEALTH_SERVICE_NAME = "grpc.health.v1.Health"
HEALTH: Any = health_pb2.HealthCheckResponse  # the package has no types


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The standard health service: whether jobs would start now, under every service's name and "".

    See grpc/health/v1/health.proto; watches count as those of jobs do. grpcio-health-checking's own servicer
    holds a lock while it writes to a watcher, so that one who takes no byte stops every change, and with it
    whoever makes it.
    """

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs
        self._status = HEALTH.NOT_SERVING
        self._changed = asyncio.Event()

    def set(self, *, serving: bool) -> None:
        """Set the status of all services, and tell all watchers."""
        self._status = HEALTH.SERVING if serving else HEALTH.NOT_SERVING
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Any:  # noqa: N802
        """See the proto."""
        if request.service not in ("", *SERVICE_NAMES):
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("this server has no such service")
        return HEALTH(status=self._status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncGenerator[Any, None]:
        """See the proto."""
        with self._jobs.quotas.streaming(Stream.WATCH, current_principal()):
            sent: int | None = None
            while True:
                changed = self._changed
                known = request.service in ("", *SERVICE_NAMES)
                status = self._status if known else HEALTH.SERVICE_UNKNOWN
                if status != sent:
                    sent = status
                    yield HEALTH(status=status)
                    continue  # it may have changed while the watcher took its time
                await changed.wait()


class RpcServer:
    """Serves the API on its addresses: one gRPC server for the Unix sockets, one for the ports."""

    def __init__(self, uploads: Uploads, jobs: JobQueue, *, require_token_on_loopback: bool = False) -> None:
        self._interceptor = AuthInterceptor(jobs.store, require_token_on_loopback=require_token_on_loopback)
        interceptors = [self._interceptor]
        self._sockets = grpc.aio.server(options=SERVER_OPTIONS, interceptors=interceptors)
        self._ports = grpc.aio.server(
            options=port_options(), interceptors=interceptors, maximum_concurrent_rpcs=MAX_PORT_CALLS
        )
        self._servers = (self._sockets, self._ports)
        self.health = HealthService(jobs)
        """Reports whether jobs would start now."""
        for server in self._servers:
            add_UploadServiceServicer_to_server(UploadService(uploads), server)
            add_JobServiceServicer_to_server(JobService(jobs), server)
            add_JobArrayServiceServicer_to_server(JobArrayService(jobs), server)
            add_MarksServiceServicer_to_server(MarksService(jobs), server)
            add_ModelServiceServicer_to_server(ModelService(jobs), server)
            add_SeparationServiceServicer_to_server(SeparationService(uploads, jobs), server)
            health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
            reflection.enable_server_reflection(
                (*SERVICE_NAMES, HEALTH_SERVICE_NAME, reflection.SERVICE_NAME), server
            )
        self._held = contextlib.ExitStack()

    async def start(
        self, addresses: Sequence[str], tls: TlsFiles | None = None, *, has_tokens: bool = False
    ) -> list[str]:
        """Listen; return the addresses with their real ports. With `tls`, every TCP port speaks it.

        Raises:
            ConfigError: an address is taken, or reachable from other machines without TLS and identities.
        """
        bound: list[str] = []
        credentials = server_credentials(tls) if tls else None
        for address in checked_addresses(addresses, tls, has_tokens=has_tokens):
            if isinstance(address, UnixAddress):
                self._held.enter_context(claim_socket(address))
            try:
                with private_umask():
                    if isinstance(address, UnixAddress):
                        port = self._sockets.add_insecure_port(address.target)
                    elif credentials is None:
                        port = self._ports.add_insecure_port(address.target)
                    else:
                        port = self._ports.add_secure_port(address.target, credentials)
            except RuntimeError as error:
                raise ConfigError(
                    f"cannot listen on {address.target}: another program uses it, or it is no address of"
                    " this machine; choose another with --listen, port 0 for a free one"
                ) from error
            if isinstance(address, TcpAddress):
                address = replace(address, port=port)
            bound.append(address.target)
        self.health.set(serving=False)  # until the engine says that it is ready
        for server in self._servers:
            await server.start()
        return bound

    @property
    def last_call_s(self) -> float:
        """When the newest call began, on the event loop's clock; the server's making, when there was none."""
        return self._interceptor.last_call_s

    async def stop(self, grace_s: float) -> None:
        """End all calls, after `grace_s` seconds by force.

        gRPC waits until a connection has taken all its bytes; one that takes none is not waited for.
        """
        stopping = [asyncio.ensure_future(server.stop(grace_s)) for server in self._servers]
        _, pending = await asyncio.wait(stopping, timeout=grace_s + FLUSH_S)
        if pending:
            log.warning("a connection takes nothing more, not even its end; it is left behind")
        self._held.close()


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return gRPC's credentials of the files.

    Raises:
        ConfigError: a file is unreadable, or key and certificate do not belong together. gRPC would say so
            only by failing every handshake.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        client_ca = files.client_ca.read_bytes() if files.client_ca else None
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca.decode())
        pair = (files.key.read_bytes(), files.certificate.read_bytes())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = ", ".join(str(path) for path in (files.certificate, files.key, files.client_ca) if path)
        raise ConfigError(
            f"TLS cannot be set up with {named}: {reason_of(error)}; all are PEM files, tls_cert the"
            " certificate and tls_key its key"
        ) from error
    return grpc.ssl_server_credentials(
        [pair], root_certificates=client_ca, require_client_auth=client_ca is not None
    )
