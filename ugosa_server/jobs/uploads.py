"""Uploads, from the first byte to decoded audio that jobs can use."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ugosa_server.adaptation.adapter_keys import read_adapter_keys
from ugosa_server.audio import SourceAudio
from ugosa_server.audio.decoding import DecodeLimits, DecodeRequest, decode_in_child
from ugosa_server.config import UploadSettings
from ugosa_server.errors import (
    BadOptionError,
    CheckpointError,
    CrcMismatchError,
    DecoderCrashedError,
    DrainingError,
    InvalidInputError,
    OffsetMismatchError,
    UploadBusyError,
)
from ugosa_server.failpoints import reach
from ugosa_server.files import disk_full_explained
from ugosa_server.jobs.model import (
    Upload,
    UploadFormat,
    UploadState,
    check_request_id,
    new_id,
    request_digest,
)
from ugosa_server.jobs.quotas import Quotas, Stream, Usage
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.jobs.upload_writer import UploadWriter
from ugosa_server.video import probe_in_child

MAX_DECODERS = os.cpu_count() or 1  # more at once would only take memory from each other
DECODED_BYTES_PER_BYTE = 2  # room asked for beforehand: float32 of 16-bit samples

R = TypeVar("R")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReceivedChunk:
    """A byte range as it came from a client."""

    offset: int
    """Offset of its first byte in the upload."""
    data: bytes
    crc32c: int | None
    """Checksum of `data`; None = not checked."""


class OpenUpload:
    """The one stream that writes an upload at the moment."""

    def __init__(self, upload: Upload, writer: UploadWriter, uploads: Uploads) -> None:
        self.upload = upload
        self.committed_size = upload.committed_size
        """Bytes that are durable."""
        self._writer = writer
        self._uploads = uploads

    async def write(self, chunks: Sequence[ReceivedChunk]) -> int:
        """Append chunks and return the committed size, which then covers all of them.

        If one is refused, those before it are committed and the error's metadata `committed_size` says so.
        """
        more = sum(len(chunk.data) for chunk in chunks)
        try:
            await self._uploads.check_room(self._writer.size, more)
            await self._uploads.store(
                lambda s: self._uploads.quotas.check_bytes(s, self.upload.principal, more)
            )
            await _whole_in_thread(lambda: self._append(chunks))
            reach("upload.appended")
        except (OffsetMismatchError, CrcMismatchError):
            await self._commit()
            raise
        return await self._commit()

    def _append(self, chunks: Sequence[ReceivedChunk]) -> None:
        with disk_full_explained():
            for chunk in chunks:
                self._writer.append(chunk.offset, chunk.data, chunk.crc32c)

    async def _commit(self) -> int:
        with disk_full_explained():
            size = await _whole_in_thread(self._writer.sync)
        self._uploads.received_bytes += size - self.committed_size
        reach("upload.synced")
        await self._uploads.store(lambda s: s.uploads.set_committed_size(self.upload.upload_id, size))
        self.committed_size = size
        reach("upload.committed")
        return size

    async def finish(self, size_bytes: int, sha256: str) -> Upload:
        """Verify the whole, decode it once, and make the upload COMPLETE.

        Raises:
            OffsetMismatchError: bytes are missing.
            Sha256MismatchError: the bytes are not what the client sent.
            DecoderCrashedError: decoding died; the bytes stay.
            InvalidInputError: the audio cannot be used; the upload is gone then.
        """
        digest = await asyncio.to_thread(self._writer.verify, size_bytes, sha256)
        return await self._uploads.complete(self.upload, digest)


class Uploads:
    """All uploads of the server. NotFoundError is raised where a principal has none of an id."""

    def __init__(self, store: AsyncStore, spool: Spool, limits: UploadSettings, quotas: Quotas) -> None:
        self.store = store
        self.limits = limits
        self.spool = spool
        """Folders of all songs."""
        self.quotas = quotas
        self._being_written: set[str] = set()
        self._decoders = asyncio.Semaphore(MAX_DECODERS)
        self.received_bytes = 0
        """Made durable since the start of the server."""
        self.draining = False

    async def create(
        self, principal: str, request_id: str, upload_format: UploadFormat, size_bytes: int
    ) -> Upload:
        """Make an empty upload, or return the one that this request made before.

        One whose file is damaged is returned as RECEIVING, to be sent once more.

        Raises:
            RequestIdConflictError: the request_id belongs to another request.
            BadOptionError: the upload is larger than the server takes, or has a size below 0.
            QuotaError: the principal has too much here already.
            DiskFullError: it would not fit.
            DrainingError: the server is shutting down.
        """
        if self.draining:
            raise DrainingError("the server is shutting down and takes no new uploads; try again in a minute")
        check_request_id(request_id)
        if size_bytes < 0:
            raise BadOptionError(f"size_bytes is {size_bytes}, but must be 0, for an unknown size, or more")
        await self.check_room(0, size_bytes)
        digest = request_digest(upload_format, size_bytes)
        upload_id = new_id("upload")
        upload = await self.store(
            lambda s: s.uploads.create(
                upload_id,
                principal,
                request_id,
                digest,
                upload_format,
                admit=lambda: self.quotas.check_new_upload(s, principal, size_bytes),
            )
        )
        if upload.state is UploadState.COMPLETE and not await asyncio.to_thread(self.spool.is_whole, upload):
            log.warning("upload %s: its file is gone or damaged; it is received again", upload.upload_id)
            await self.store(lambda s: s.uploads.receive_again(upload.upload_id))
            return await self.create(principal, request_id, upload_format, size_bytes)  # or was it deleted?
        reach("upload.created")
        if upload.state is UploadState.RECEIVING:  # after its row: a folder without one would be nobody's
            with disk_full_explained():
                await asyncio.to_thread(self.spool.make_upload, upload.upload_id)
        return upload

    async def get(self, principal: str, upload_id: str) -> Upload:
        """Return an upload."""
        return await self.store(lambda s: s.uploads.get(principal, upload_id))

    async def usage(self, principal: str) -> Usage:
        """Return how much a principal stores, and may store."""
        return await self.store(lambda s: self.quotas.usage(s, principal))

    async def delete(self, principal: str, upload_id: str) -> None:
        """Remove an upload with its audio.

        Raises:
            UploadBusyError: it is being written.
            UploadInUseError: a job that has not ended needs it.
        """
        if upload_id in self._being_written:
            raise UploadBusyError(f"upload {upload_id} is being written; end that stream first")
        await self.spool.deleting(lambda: self.store(lambda s: s.uploads.delete(principal, upload_id)))
        await asyncio.to_thread(self.spool.delete_upload, upload_id)

    async def delete_unused(self, before_s: float) -> int:
        """Remove uploads made before a time that no job has needed since; return how many."""
        being_written = set(self._being_written)
        upload_ids = await self.spool.deleting(
            lambda: self.store(lambda s: s.uploads.delete_unused(before_s, being_written))
        )
        for upload_id in upload_ids:
            await asyncio.to_thread(self.spool.delete_upload, upload_id)
        return len(upload_ids)

    @asynccontextmanager
    async def open(self, principal: str, upload_id: str) -> AsyncIterator[OpenUpload]:
        """Open an upload that is RECEIVING, for one stream at a time.

        Raises:
            UploadDamagedError: what the database held of it is damaged; the same request makes it anew.
            UploadBusyError: another stream is writing it.
            QuotaError: the principal has too many streams open.
        """
        upload = await self.get(principal, upload_id)
        if upload_id in self._being_written:
            raise UploadBusyError(
                f"another stream is writing upload {upload_id}", committed_size=upload.committed_size
            )
        with self.quotas.streaming(Stream.UPLOAD, principal):
            self._being_written.add(upload_id)
            try:
                upload = await self.get(principal, upload_id)  # before that it could be deleted
                upload.require_whole()
                if upload.committed_size == 0 and not self.spool.bytes_path(upload_id).exists():
                    # a crash came between its row and its folder
                    with disk_full_explained():
                        await asyncio.to_thread(self.spool.make_upload, upload_id)
                with closing(UploadWriter(self.spool.bytes_path(upload_id), upload.committed_size)) as writer:
                    yield OpenUpload(upload, writer, self)
            finally:
                self._being_written.discard(upload_id)

    async def check_room(self, size: int, more: int) -> None:
        """Make sure that there is room for an upload to grow from `size` by `more` bytes.

        Raises:
            BadOptionError: it would be larger than the server takes.
            DiskFullError: the disk has no room for it and for its decoded audio.
        """
        most = self.limits.max_upload_bytes
        if size + more > most:
            raise BadOptionError(f"the upload has {size + more} bytes or more; at most {most} are taken")
        await asyncio.to_thread(self.spool.check_free, more * (1 + DECODED_BYTES_PER_BYTE))

    async def complete(self, upload: Upload, sha256: str) -> Upload:
        """Decode the received bytes, of a video its first picture, and make the upload COMPLETE.

        Raises:
            InvalidInputError: the audio or video cannot be used; the upload is gone then.
            QuotaError, DiskFullError: no room for the decoded audio; the received bytes stay.
        """
        upload_id, path = upload.upload_id, self.spool.bytes_path(upload.upload_id)
        audio = video = None
        try:
            async with self._decoders:
                if upload.format.is_adapter:
                    await asyncio.to_thread(_check_adapter, path, upload.format.file_name)
                elif upload.format.is_video:
                    video = await probe_in_child(path, self.limits.decode_timeout_s)
                else:
                    audio = await self._decode(upload)
                    reach("upload.decoded")
        except DecoderCrashedError:
            raise  # not the song's fault for certain: the bytes stay, and `finish` can be sent again
        except InvalidInputError:
            await self.store(lambda s: s.uploads.delete(upload.principal, upload_id))
            await asyncio.to_thread(self.spool.delete_upload, upload_id)
            raise
        await self.store(lambda s: s.uploads.complete(upload_id, sha256, audio, video))
        reach("upload.completed")
        if audio is not None:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        fields = {"principal": upload.principal, "song": upload.format.file_name}
        found = audio or video
        log.info("upload %s: %s", upload_id, found.encoding if found else "adapter", extra=fields)
        return await self.get(upload.principal, upload_id)

    async def _decode(self, upload: Upload) -> SourceAudio:
        """Decode the received bytes into the upload's audio file, as far as its owner may store it."""
        path = self.spool.bytes_path(upload.upload_id)
        left = (await self.usage(upload.principal)).bytes_left
        request = DecodeRequest(
            path=str(path),
            out_path=str(self.spool.audio_path(upload.upload_id)),
            pcm=upload.format.pcm,
            limits=DecodeLimits(
                max_bytes=left + path.stat().st_size, min_free_bytes=self.spool.min_free_bytes
            ),
        )
        return await decode_in_child(request, timeout_s=self.limits.decode_timeout_s)


def _check_adapter(path: Path, file_name: str) -> None:
    try:
        read_adapter_keys(path)
    except CheckpointError as error:
        raise CheckpointError(f"{file_name} is no adapter of a job") from error


async def _whole_in_thread(work: Callable[[], R]) -> R:
    """Run blocking work on a thread; a cancel waits for its end.

    A client that goes ends its call at once, but not the thread: that would go on writing to a descriptor
    which is closed by then, or belongs to another file.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
