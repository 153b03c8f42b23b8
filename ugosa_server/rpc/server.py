"""The gRPC server: services, health, reflection, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ugosa_server.addresses import TlsFiles, UnixAddress, check_reach, claim_socket, parse_address
from ugosa_server.errors import ConfigError, reason_of
from ugosa_server.files import private_umask
from ugosa_server.jobs.arrays import JobArrays
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.uploads import Uploads
from ugosa_server.models import ModelRegistry
from ugosa_server.rpc.catalogue_services import MarksService, ModelService
from ugosa_server.rpc.health import HealthService
from ugosa_server.rpc.interceptors import Authenticator, AuthInterceptor
from ugosa_server.rpc.job_services import JobArrayService, JobService
from ugosa_server.rpc.limits import MAX_PORT_CALLS, SERVER_OPTIONS, port_options
from ugosa_server.rpc.separation_service import SeparationService
from ugosa_server.rpc.upload_service import UploadService
from ugosa_server.wire.ugosa.v1 import (
    job_array_service_pb2,
    job_array_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    marks_service_pb2,
    marks_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    separation_service_pb2,
    separation_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

FLUSH_S = 1.0  # for the last bytes of all connections

log = logging.getLogger(__name__)

SERVICE_NAMES = (
    upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"].full_name,
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    job_array_service_pb2.DESCRIPTOR.services_by_name["JobArrayService"].full_name,
    marks_service_pb2.DESCRIPTOR.services_by_name["MarksService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    separation_service_pb2.DESCRIPTOR.services_by_name["SeparationService"].full_name,
)
HEALTH_SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class RpcServer:
    """Serves the API on its addresses: one gRPC server for the Unix sockets, one for the ports."""

    def __init__(
        self,
        uploads: Uploads,
        jobs: JobQueue,
        arrays: JobArrays,
        registry: ModelRegistry,
        default_model: str,
        authenticator: Authenticator,
    ) -> None:
        self._interceptor = AuthInterceptor(authenticator)
        interceptors = [self._interceptor]
        self._sockets = grpc.aio.server(options=SERVER_OPTIONS, interceptors=interceptors)
        self._ports = grpc.aio.server(
            options=port_options(), interceptors=interceptors, maximum_concurrent_rpcs=MAX_PORT_CALLS
        )
        self._health = HealthService(("", *SERVICE_NAMES), jobs)
        for server in (self._sockets, self._ports):
            upload_service_pb2_grpc.add_UploadServiceServicer_to_server(UploadService(uploads), server)
            job_service_pb2_grpc.add_JobServiceServicer_to_server(JobService(jobs), server)
            job_array_service_pb2_grpc.add_JobArrayServiceServicer_to_server(JobArrayService(arrays), server)
            marks_service_pb2_grpc.add_MarksServiceServicer_to_server(MarksService(jobs), server)
            model_service_pb2_grpc.add_ModelServiceServicer_to_server(
                ModelService(registry, default_model), server
            )
            separation_service_pb2_grpc.add_SeparationServiceServicer_to_server(
                SeparationService(uploads, jobs), server
            )
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
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
        parsed = [parse_address(text) for text in addresses]
        credentials = server_credentials(tls) if tls else None
        knows_callers = has_tokens or (tls is not None and tls.client_ca is not None)
        for address in parsed:
            check_reach(address, has_tls=tls is not None, knows_callers=knows_callers)
        for address in parsed:
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
            bound.append(address.target if isinstance(address, UnixAddress) else f"{address.host}:{port}")
        self.set_serving(serving=False)  # until the engine says that it is ready
        for server in (self._sockets, self._ports):
            await server.start()
        return bound

    def set_serving(self, *, serving: bool) -> None:
        """Report by the standard health service whether jobs would start now."""
        self._health.set(serving=serving)

    @property
    def last_call_s(self) -> float:
        """When the newest call began, on the event loop's clock; the server's making, when there was none."""
        return self._interceptor.last_call_s

    async def stop(self, grace_s: float) -> None:
        """End all calls, after `grace_s` seconds by force.

        gRPC waits until a connection has taken all its bytes; one that takes none is not waited for.
        """
        stopping = [asyncio.ensure_future(server.stop(grace_s)) for server in (self._sockets, self._ports)]
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
