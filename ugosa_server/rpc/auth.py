"""Who is calling.

The server listens on a Unix socket that only its user can open, or on loopback; whoever can connect is the
local user. Uploads and jobs carry their principal all the same: it is what keeps users apart.
"""

from __future__ import annotations

from typing import Any

import grpc.aio

LOCAL_PRINCIPAL = "local"


def principal_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return the name of the caller."""
    del context  # every address that the server agrees to bind is the local user's
    return LOCAL_PRINCIPAL
