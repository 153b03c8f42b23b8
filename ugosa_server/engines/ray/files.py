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
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ugosa_server.errors import CheckpointError, WorkerLostError
from ugosa_server.files import expanded, publish, sha256_of_file, tmp_path_of
from ugosa_server.jobs import FinishedFile, RunSpec, StemFile

CHUNK_BYTES = 1024**2
SEND_ATTEMPTS = 3  # of a file that arrives damaged


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
        with suppress(FileNotFoundError):
            if sha256_of_file(path) == sha256:
                os.utime(path)  # used now
                return size_bytes
            path.unlink()  # damaged since it came; the server's file is as good as ever
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

    def results(self, job_id: str, attempt: int) -> list[FinishedFile]:
        """Return the files that a run has made."""
        folder = self._runs / job_id / str(attempt)
        return [FinishedFile.at(path) for path in sorted(folder.iterdir())]

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
        files: list[tuple[float, int, Path]] = []
        for path in self._content.iterdir():
            with suppress(FileNotFoundError):  # another worker has published or removed it
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size_bytes for _, size_bytes, _ in files)
        for _, size_bytes, path in sorted(files):
            if total <= self._budget_bytes:
                return
            if path.name != keep:
                total -= size_bytes
                path.unlink(missing_ok=True)


class FileSender:
    """Sends files that do not change while they are used; each is read once for its sha256."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}

    async def send(self, actor: Any, path: str) -> str:
        """Send a file to the actor's node and return its sha256; nothing is sent if it is there.

        Raises:
            OSError: the file cannot be read.
            WorkerLostError: it does not arrive intact.
        """
        status = await asyncio.to_thread(Path(path).stat)
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(sha256_of_file, Path(path))
        sha256 = self._known[key]
        for _ in range(SEND_ATTEMPTS):
            if await _send_rest(actor, path, sha256, status.st_size):
                return sha256
        raise WorkerLostError(f"{path} did not arrive whole at the worker in {SEND_ATTEMPTS} attempts")

    async def send_run(self, actor: Any, spec: RunSpec) -> RunSpec:
        """Send the inputs of a run to the actor's node; return its spec with digests in the place of paths.

        No epoch checkpoint is kept on a node: another attempt may run elsewhere.

        Raises:
            CheckpointError: the model is not there.
            OSError, WorkerLostError: as for `send`.
        """
        try:
            model_path = await self.send(actor, spec.model_path)
        except OSError as error:
            raise CheckpointError(f"cannot read {spec.model_path}: {error.strerror}") from error
        return replace(
            spec,
            source=replace(spec.source, path=await self.send(actor, spec.source.path)),
            model_path=model_path,
            video_path=await self.send(actor, spec.video_path) if spec.video_path else "",
            start_path=await self.send(actor, spec.start_path) if spec.start_path else "",
            checkpoint_path="",
            resume_path="",
        )


async def _send_rest(actor: Any, path: str, sha256: str, size_bytes: int) -> bool:
    """Send a file from where an earlier transfer stopped; return False if it arrived damaged."""
    offset = await actor.received_bytes.remote(sha256, size_bytes)
    arrived = True
    with Path(path).open("rb") as stream:
        stream.seek(offset)
        while offset < size_bytes:
            chunk = await asyncio.to_thread(stream.read, CHUNK_BYTES)
            if not chunk:
                raise WorkerLostError(f"{path} became shorter while it was sent")
            is_last = offset + len(chunk) == size_bytes
            arrived = await actor.receive.remote(sha256, offset, chunk, last=is_last)
            offset += len(chunk)
    return arrived


async def fetch_results(actor: Any, spec: RunSpec) -> None:
    """Fetch the files of a run into its `out_dir`, durably, and remove them from the node.

    Those that came early stay where the run has kept them, and only there.

    Raises:
        WorkerLostError: a file does not arrive intact.
    """
    results = await actor.results.remote(spec.job_id, spec.attempt)
    early = {path.name: path for path in Path(spec.out_dir).iterdir()}
    for file in results:
        path = early.pop(file.file_name, None)
        if path is None or await asyncio.to_thread(sha256_of_file, path) != file.sha256:
            await fetch_file(actor, spec, file)
    for path in early.values():
        path.unlink()
    await actor.delete_run.remote(spec.job_id)


async def fetch_file(actor: Any, spec: RunSpec, file: FinishedFile | StemFile) -> None:
    """Fetch a file of a run into its `out_dir`, durably.

    Raises:
        WorkerLostError: it does not arrive intact.
    """
    path = Path(spec.out_dir) / file.file_name
    unfinished = tmp_path_of(path)
    sha256, offset = hashlib.sha256(), 0
    try:
        with unfinished.open("wb") as stream:
            while offset < file.size_bytes:
                chunk = await actor.read_result.remote(spec.job_id, spec.attempt, file.file_name, offset)
                if not chunk:
                    break
                await asyncio.to_thread(stream.write, chunk)
                sha256.update(chunk)
                offset += len(chunk)
        if sha256.hexdigest() != file.sha256:
            raise WorkerLostError(f"{path.name} of job {spec.job_id} did not arrive whole from its worker")
        await asyncio.to_thread(publish, unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
