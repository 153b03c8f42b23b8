"""Limits of gRPC's own layer, which sees bytes before anybody is asked who is calling.

The Unix socket, which only its owner can open, has no limit on connections and calls: whatever strangers do
to a port, the owner is served.
"""

from __future__ import annotations

import resource

MAX_DESCRIPTORS = 65_536  # beyond it closing them all at a fork takes long
RESERVED_DESCRIPTORS = 192  # for the store, songs and stems, the worker, decoders and the Unix socket
MIN_PORT_CONNECTIONS = 16
MAX_PORT_CONNECTIONS = 4096
MAX_PORT_CALLS = 1024
MAX_STREAMS_PER_CONNECTION = 256
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024
HANDSHAKE_TIMEOUT_MS = 10_000
CONNECTION_IDLE_MS = 300_000

IDENTITY_ALONE = 1  # bit of no compression, in gRPC's set of algorithms

Options = tuple[tuple[str, int], ...]

SERVER_OPTIONS: Options = (
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.keepalive_time_ms", 30_000),  # a client that is gone is noticed while its watch is idle
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # gRPC unpacks a message before it compares its size with the limit: 1 MB of gzip makes 1 GB.
    ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ALONE),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
    ("grpc.http2.settings_timeout", HANDSHAKE_TIMEOUT_MS),
)


def port_options() -> Options:
    """Return the options of a server on TCP ports, which strangers can reach."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        *SERVER_OPTIONS,
        ("grpc.max_connection_idle_ms", CONNECTION_IDLE_MS),
        ("grpc.max_allowed_incoming_connections", port_connections(soft)),
    )


def port_connections(descriptors: int) -> int:
    """Return how many connections each port may hold where the process may have so many descriptors."""
    return min(max(descriptors - RESERVED_DESCRIPTORS, MIN_PORT_CONNECTIONS), MAX_PORT_CONNECTIONS)


def raise_descriptor_limit() -> None:
    """Let this process have as many descriptors as the system allows it, up to MAX_DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
