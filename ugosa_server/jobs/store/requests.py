"""Requests that are done once, however often they are sent: the one rule for uploads, jobs and job arrays.

A client makes up a request_id and may send its request again when it has not seen the answer. Each row keeps
the request_id that made it and a digest of the request's content: the same request finds its row again, and
another one under the same request_id is a conflict.
"""

from __future__ import annotations

from enum import Enum

from ugosa_server.errors import RequestIdConflictError
from ugosa_server.jobs.store.rows import Database


class Requested(Enum):
    """A kind of thing that requests make: its table, the column of its id, and its name in sentences."""

    UPLOAD = ("uploads", "upload_id", "upload")
    JOB = ("jobs", "job_id", "job")
    ARRAY = ("job_arrays", "array_id", "job array")


def find_request(
    database: Database, kind: Requested, principal: str, request_id: str, request_digest: str
) -> str | None:
    """Return the id of the thing that this request made before, or None.

    Only in the transaction that makes the thing does None mean that it can be made.

    Raises:
        RequestIdConflictError: the request_id belongs to another request.
    """
    table, id_column, name = kind.value
    row = database.row(
        tuple[str, str],
        f"SELECT {id_column}, request_digest FROM {table} WHERE principal = ? AND request_id = ?",
        (principal, request_id),
    )
    if row is None:
        return None
    known_id, known_digest = row
    if known_digest != request_digest:
        raise RequestIdConflictError(
            f"request_id {request_id!r} was used for a different {name}; use a new one"
        )
    return known_id
