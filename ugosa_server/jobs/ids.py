"""Names that the server makes, and digests by which it knows a request again."""

from __future__ import annotations

import hashlib
import re
import secrets

import msgspec

from ugosa_server.errors import BadOptionError

REQUEST_ID_PATTERN = re.compile(r"[ -~]{1,128}")  # printable ASCII


def new_id(kind: str) -> str:
    """Return a fresh id such as "job-3f9c0a1b52e7d846"; it cannot be guessed."""
    return f"{kind}-{secrets.token_hex(8)}"


def request_digest(*parts: object) -> str:
    """Return a digest of a request's content: equal for equal requests."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def check_request_id(request_id: str) -> str:
    """Return the request_id.

    Raises:
        BadOptionError: it is empty, too long or not printable ASCII.
    """
    if not REQUEST_ID_PATTERN.fullmatch(request_id):
        raise BadOptionError(
            f"request_id {request_id[:140]!r} must be 1 to 128 printable ASCII characters; use a UUID"
        )
    return request_id
