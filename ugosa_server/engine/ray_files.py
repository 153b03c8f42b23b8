"""Songs, videos and models to a worker that shares no file system with the server, and its results back.

One chunk at a time is under way for a file, so that no song is ever in Ray's object store whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ugosa_server.durable_files import publish, tmp_path_of
from ugosa_server.engine.base import RunSpec
from ugosa_server.engine.node_files import CHUNK_BYTES, FileDigest, sha256_of
from ugosa_server.errors import CheckpointError, WorkerLostError

SEND_ATTEMPTS = 3  # of a file that arrives as something else


class ContentDigests:
    """The sha256 of files that do not change while they are used; each is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}

    async def of(self, path: str) -> tuple[str, int]:
        """Return (sha256, size in bytes) of a file."""
        status = await asyncio.to_thread(Path(path).stat)
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(sha256_of, Path(path))
        return self._known[key], status.st_size


async def send_file(actor: Any, path: str, sha256: str, size_bytes: int) -> None:
    """Bring a file to the actor's node, from where an earlier transfer stopped; nothing if it is there.

    Raises:
        WorkerLostError: it does not arrive as it is.
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
    """Bring what a run reads to the actor's node; return its spec with digests in the place of paths.

    No epoch checkpoint is kept on a node: another attempt may run elsewhere.

    Raises:
        CheckpointError: the model is not there.
        WorkerLostError: a file does not arrive as it is.
    """
    try:
        model, model_bytes = await digests.of(spec.model_path)
    except OSError as error:
        raise CheckpointError(f"cannot read {spec.model_path}: {error.strerror}") from error
    song, song_bytes = await digests.of(spec.source.path)
    await send_file(actor, spec.model_path, model, model_bytes)
    await send_file(actor, spec.source.path, song, song_bytes)
    video = ""
    if spec.video_path:
        video, video_bytes = await digests.of(spec.video_path)
        await send_file(actor, spec.video_path, video, video_bytes)
    return replace(
        spec,
        source=replace(spec.source, path=song),
        model_path=model,
        video_path=video,
        checkpoint_path="",
        resume_path="",
    )


async def fetch_results(actor: Any, spec: RunSpec) -> None:
    """Bring all that a run has made into its `out_dir`, durably, and remove it from the node.

    Raises:
        WorkerLostError: a file does not arrive as it is.
    """
    for digest in await actor.results.remote(spec.job_id, spec.attempt):
        await _fetch_file(actor, spec, digest)
    await actor.delete_run.remote(spec.job_id)


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
