"""Answers to requests for a part of a file (RFC 9110, section 14), and files as one zip on the fly."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

Reader = Callable[[int, int], Iterator[bytes]]
"""Yields the bytes of a file from a first one to an end, exclusive."""


def range_response(
    request: Request, read: Reader, size_bytes: int, media_type: str, *, etag: str = "", file_name: str = ""
) -> Response:
    """Answer with the whole file, with the part that the request asks for, or with 416."""
    headers = {"accept-ranges": "bytes"}
    if etag:
        headers |= {"etag": f'"{etag}"', "cache-control": "private, max-age=86400, immutable"}
    if file_name:
        headers["content-disposition"] = attachment(file_name)
    span = asked_span(request, size_bytes)
    if span is None:
        headers["content-length"] = str(size_bytes)
        return StreamingResponse(_begun(read(0, size_bytes)), headers=headers, media_type=media_type)
    start, end = span
    if start >= end:
        return Response(status_code=416, headers={"content-range": f"bytes */{size_bytes}"})
    headers |= {"content-length": str(end - start), "content-range": f"bytes {start}-{end - 1}/{size_bytes}"}
    return StreamingResponse(_begun(read(start, end)), 206, headers, media_type)


def _begun(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first part before the answer begins, so that a file that is gone can be refused."""
    return chain([next(parts, b"")], parts)


def asked_span(request: Request, size_bytes: int) -> tuple[int, int] | None:
    """Return (start, end) that a request asks for, empty if it lies outside; None = the whole file.

    Several ranges at once are answered by the whole file, as the standard allows.
    """
    match = RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        return max(0, size_bytes - int(last)), size_bytes
    return int(first), min(size_bytes, int(last) + 1) if last else size_bytes


def attachment(file_name: str) -> str:
    """Return the header that makes a browser save an answer under a name of any script."""
    plain = re.sub(r'[^ -~]|["\\]', "_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name)}"


def zip_parts(files: Iterable[tuple[str, Iterator[bytes]]]) -> Iterator[bytes]:
    """Yield a zip of named files, stored as they are, without holding one of them."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for name, parts in files:
            with archive.open(name, "w", force_zip64=True) as file:
                for part in parts:
                    file.write(part)
                    yield pipe.take()
    yield pipe.take()


class _Pipe(io.RawIOBase):
    """File without a past: what is written is taken, and nobody seeks in it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data
