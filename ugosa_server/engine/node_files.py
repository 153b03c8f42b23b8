"""Songs, models and results on a worker's node that shares no file system with the server.

What comes in is kept under its sha256, so that a song that was sent once serves every job of it:

    <root>/content/<sha256>            whole and checked
    <root>/content/<sha256>.<writer>   on its way in; a transfer that broke goes on where it stopped
    <root>/runs/<job_id>/<attempt>/    what a run makes, until the server has fetched it
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ugosa_server.durable_files import publish

CHUNK_BYTES = 1024**2


@dataclass(frozen=True)
class FileDigest:
    """What a file is, wherever it lies."""

    name: str
    """Without a folder."""
    size_bytes: int
    """Of the file."""
    sha256: str
    """Hex, of the file."""


class NodeFiles:
    """The files of one worker; workers of a node share what came in."""

    def __init__(self, root: Path, writer: str, budget_bytes: int) -> None:
        """Make the folders.

        Args:
            root: on a disk of the node.
            writer: names this worker's unfinished files.
            budget_bytes: content that has not been used for longest is removed above this.
        """
        self._content = root / "content"
        self._runs = root / "runs"
        self._writer = writer
        self._budget_bytes = budget_bytes
        for folder in (self._content, self._runs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path_of(self, sha256: str) -> Path:
        """Where content lies once it is whole."""
        return self._content / sha256

    def received_bytes(self, sha256: str, size_bytes: int) -> int:
        """Return how many bytes of some content are here; all of them only when it is whole and checked."""
        path = self.path_of(sha256)
        if path.exists():
            os.utime(path)  # used now
            return size_bytes
        unfinished = self._unfinished(sha256)
        return max(0, min(unfinished.stat().st_size, size_bytes - 1)) if unfinished.exists() else 0

    def receive(self, sha256: str, offset: int, chunk: bytes, *, last: bool) -> bool:
        """Write a chunk; with the last one the whole is checked. False = it is not what it was to be."""
        unfinished = self._unfinished(sha256)
        with unfinished.open("r+b" if unfinished.exists() else "wb") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            stream.write(chunk)
        if not last:
            return True
        if sha256_of(unfinished) != sha256:
            unfinished.unlink()
            return False
        publish(unfinished, self.path_of(sha256))
        self._sweep(keep=sha256)
        return True

    def make_run(self, job_id: str, attempt: int) -> Path:
        """Make the empty folder of an attempt, and remove those of earlier ones."""
        shutil.rmtree(self._runs / job_id, ignore_errors=True)
        folder = self._runs / job_id / str(attempt)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def results(self, job_id: str, attempt: int) -> list[FileDigest]:
        """Return what a run has made."""
        folder = self._runs / job_id / str(attempt)
        return [
            FileDigest(path.name, path.stat().st_size, sha256_of(path)) for path in sorted(folder.iterdir())
        ]

    def read_result(self, job_id: str, attempt: int, name: str, offset: int) -> bytes:
        """Return the next chunk of a result."""
        with (self._runs / job_id / str(attempt) / name).open("rb") as stream:
            stream.seek(offset)
            return stream.read(CHUNK_BYTES)

    def delete_run(self, job_id: str) -> None:
        """Remove everything that a job has made here."""
        shutil.rmtree(self._runs / job_id, ignore_errors=True)

    def _unfinished(self, sha256: str) -> Path:
        return self._content / f"{sha256}.{self._writer}"

    def _sweep(self, keep: str) -> None:
        """Remove what was not used for longest, until the rest fits the budget."""
        files = sorted(self._content.iterdir(), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._budget_bytes:
                return
            if path.name != keep:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
