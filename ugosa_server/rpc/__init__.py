"""The gRPC API: services, identities of callers, conversion between the wire and the domain."""

from ugosa_server.rpc.limits import raise_descriptor_limit
from ugosa_server.rpc.separation_service import separate_once
from ugosa_server.rpc.server import RpcServer, server_credentials

__all__ = ["RpcServer", "raise_descriptor_limit", "separate_once", "server_credentials"]
