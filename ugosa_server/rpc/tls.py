"""TLS for the addresses that other machines can reach."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from ugosa_server.errors import ConfigError


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; read once, at the start."""

    certificate: Path
    """The server's certificate, with its chain."""
    key: Path
    """The certificate's private key."""
    client_ca: Path | None = None
    """Who issues the certificates of clients. Set: a client without one is not let in. None: not asked."""


def tls_files(certificate: str, key: str, client_ca: str) -> TlsFiles | None:
    """Return the files that the configuration names; None when it names none.

    Raises:
        ConfigError: one is named without the other that it needs.
    """
    if not (certificate or key or client_ca):
        return None
    if not (certificate and key):
        missing = "tls_key" if certificate else "tls_cert"
        raise ConfigError(f"TLS needs a certificate and its key, but {missing} is not set")
    return TlsFiles(
        Path(certificate).expanduser(),
        Path(key).expanduser(),
        Path(client_ca).expanduser() if client_ca else None,
    )


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return what gRPC needs to speak TLS.

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
        raise ConfigError(f"TLS cannot be set up with {named}: {error}") from error
    return grpc.ssl_server_credentials(
        [pair], root_certificates=client_ca, require_client_auth=client_ca is not None
    )
