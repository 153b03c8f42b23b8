"""Songs, videos, models and results on worker's nodes that share no file system with the server.

Content is kept under its sha256, so that a song that was sent once serves every job of it:

    <root>/content/<sha256>            whole and checked
    <root>/content/<sha256>.<writer>   on its way in; a transfer that broke goes on where it stopped
    <root>/runs/<job_id>/<attempt>/    files that a run makes, until the server has fetched them

One chunk at a time is under way for a file, so that no song is ever in Ray's object store whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ugosa_server.errors import CheckpointError, WorkerLostError
from ugosa_server.files import expanded, publish, sha256_of_file, tmp_path_of
from ugosa_server.jobs import RunSpec, StemFile

CHUNK_BYTES = 1024**2
SEND_ATTEMPTS = 3  # of a file that arrives damaged


@dataclass(frozen=True)
class FileDigest:
    """Content identity of a file: size and sha256."""

    name: str
    """Name without a folder."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class NodeFolder:
    """Location of a worker's files on its node."""

    root: str
    """On a disk of the node; "~" is the home folder there."""
    writer: str
    """Names this worker's unfinished files; unlike that of any other worker, the same after a restart."""
    budget_bytes: int
    """Content that has not been used for longest is removed above this."""


class NodeFiles:
    """Files of one worker; workers of a node share the content that was sent."""

    def __init__(self, folder: NodeFolder) -> None:
        """Make the folders."""
        root = expanded(folder.root)
        self._content = root / "content"
        self._runs = root / "runs"
        self._writer = folder.writer
        self._budget_bytes = folder.budget_bytes
        for path in (self._content, self._runs):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path_of(self, sha256: str) -> Path:
        """Return the path of content once it is whole."""
        return self._content / sha256

    def received_bytes(self, sha256: str, size_bytes: int) -> int:
        """Return the number of received bytes; all of them only when the content is whole and checked."""
        path = self.path_of(sha256)
        if path.exists():
            os.utime(path)  # used now
            return size_bytes
        unfinished = self._unfinished(sha256)
        return max(0, min(unfinished.stat().st_size, size_bytes - 1)) if unfinished.exists() else 0

    def receive(self, sha256: str, offset: int, chunk: bytes, *, last: bool) -> bool:
        """Write a chunk; check the digest after the last one. Return False if it does not fit."""
        unfinished = self._unfinished(sha256)
        with unfinished.open("r+b" if unfinished.exists() else "wb") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            stream.write(chunk)
        if not last:
            return True
        if sha256_of_file(unfinished) != sha256:
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
        """Return the files that a run has made."""
        folder = self._runs / job_id / str(attempt)
        return [
            FileDigest(path.name, path.stat().st_size, sha256_of_file(path))
            for path in sorted(folder.iterdir())
        ]

    def read_result(self, job_id: str, attempt: int, name: str, offset: int) -> bytes:
        """Return the next chunk of a result; nothing if the run has removed it meanwhile."""
        try:
            with (self._runs / job_id / str(attempt) / name).open("rb") as stream:
                stream.seek(offset)
                return stream.read(CHUNK_BYTES)
        except FileNotFoundError:
            return b""

    def delete_run(self, job_id: str) -> None:
        """Remove all files that a job has made here."""
        shutil.rmtree(self._runs / job_id, ignore_errors=True)

    def _unfinished(self, sha256: str) -> Path:
        return self._content / f"{sha256}.{self._writer}"

    def _sweep(self, keep: str) -> None:
        """Remove the content not used for longest, until the rest fits the budget."""
        files = sorted(self._content.iterdir(), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._budget_bytes:
                return
            if path.name != keep:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)


class ContentDigests:
    """sha256 of files that do not change while they are used; each is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}

    async def of(self, path: str) -> tuple[str, int]:
        """Return (sha256, size in bytes) of a file."""
        status = await asyncio.to_thread(Path(path).stat)
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(sha256_of_file, Path(path))
        return self._known[key], status.st_size


async def send_file(actor: Any, path: str, sha256: str, size_bytes: int) -> None:
    """Send a file to the actor's node, from where an earlier transfer stopped; nothing if it is there.

    Raises:
        WorkerLostError: it does not arrive intact.
    """
    for _ in range(SEND_ATTEMPTS):
        offset = await actor.received_bytes.remote(sha256, size_bytes)
        with Path(path).open("rb") as stream:
            stream.seek(offset)
            arrived = True
            while offset < size_bytes:
                chunk = await asyncio.to_thread(stream.read, CHUNK_BYTES)
                if not chunk:
                    raise WorkerLostError(f"{path} became shorter while it was sent")
                offset += len(chunk)
                arrived = await actor.receive.remote(
                    sha256, offset - len(chunk), chunk, last=offset == size_bytes
                )
        if arrived:
            return
    raise WorkerLostError(f"{path} did not arrive whole at the worker in {SEND_ATTEMPTS} attempts")


async def send_run(actor: Any, spec: RunSpec, digests: ContentDigests) -> RunSpec:
    """Send the inputs of a run to the actor's node; return its spec with digests in the place of paths.

    No epoch checkpoint is kept on a node: another attempt may run elsewhere.

    Raises:
        CheckpointError: the model is not there.
        WorkerLostError: a file does not arrive intact.
    """

    async def send(path: str) -> str:
        if not path:
            return ""
        sha256, size_bytes = await digests.of(path)
        await send_file(actor, path, sha256, size_bytes)
        return sha256

    try:
        await digests.of(spec.model_path)
    except OSError as error:
        raise CheckpointError(f"cannot read {spec.model_path}: {error.strerror}") from error
    return replace(
        spec,
        source=replace(spec.source, path=await send(spec.source.path)),
        model_path=await send(spec.model_path),
        video_path=await send(spec.video_path),
        start_path=await send(spec.start_path),
        checkpoint_path="",
        resume_path="",
    )


async def fetch_results(actor: Any, spec: RunSpec) -> None:
    """Fetch the files of a run into its `out_dir`, durably, and remove them from the node.

    Those that came early stay where the run has kept them, and only there.

    Raises:
        WorkerLostError: a file does not arrive intact.
    """
    results = await actor.results.remote(spec.job_id, spec.attempt)
    early = {path.name: path for path in Path(spec.out_dir).iterdir()}
    for digest in results:
        path = early.pop(digest.name, None)
        if path is None or await asyncio.to_thread(sha256_of_file, path) != digest.sha256:
            await _fetch_file(actor, spec, digest)
    for path in early.values():
        path.unlink()
    await actor.delete_run.remote(spec.job_id)


async def fetch_early(actor: Any, spec: RunSpec, stems: Iterable[StemFile]) -> None:
    """Fetch stems of a run that goes on.

    Raises:
        WorkerLostError: one does not arrive intact.
    """
    for stem in stems:
        await _fetch_file(actor, spec, FileDigest(stem.file_name, stem.size_bytes, stem.sha256))


async def _fetch_file(actor: Any, spec: RunSpec, digest: FileDigest) -> None:
    path = Path(spec.out_dir) / digest.name
    unfinished = tmp_path_of(path)
    sha256 = hashlib.sha256()
    offset = 0
    try:
        with unfinished.open("wb") as stream:
            while offset < digest.size_bytes:
                chunk = await actor.read_result.remote(spec.job_id, spec.attempt, digest.name, offset)
                if not chunk:
                    break
                await asyncio.to_thread(stream.write, chunk)
                sha256.update(chunk)
                offset += len(chunk)
        if sha256.hexdigest() != digest.sha256:
            raise WorkerLostError(f"{digest.name} of job {spec.job_id} did not arrive whole from its worker")
        await asyncio.to_thread(publish, unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
