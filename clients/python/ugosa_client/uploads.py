"""Upload of a song: resumable, checksummed, ahead of the acknowledgements."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable, Iterator

import google_crc32c

from ugosa_client.connection import Connection
from ugosa_client.convert import to_resource, to_upload
from ugosa_client.errors import BadAudioError, ServerError, ServerUnavailableError, TransferInterruptedError
from ugosa_client.resources import Upload, Usage
from ugosa_client.song import CHUNK_BYTES, Song
from ugosa_client.wire.ugosa.v1 import audio_pb2, upload_service_pb2

OnUploadProgress = Callable[[int, int], None]
"""Called with (durable bytes, all bytes)."""


def upload_song(
    connection: Connection,
    song: Song,
    *,
    request_id: str | None = None,
    on_progress: OnUploadProgress | None = None,
) -> Upload:
    """Send a song and return its complete upload.

    Whatever breaks on the way, sending goes on from the bytes that the server has made durable. The same
    `request_id` again takes up the same upload; it is made from the song unless given, so that another
    process that sends the same song goes on where this one ended, and a song is sent once however many jobs
    it gets.
    """
    request = upload_service_pb2.CreateUploadRequest(
        request_id=request_id or song_request_id(song), format=song.format(), size_bytes=song.size_bytes
    )
    upload = to_upload(connection.unary(connection.uploads.CreateUpload, request).upload)
    if upload.complete:  # it was sent before, which is no progress
        return upload
    committed = upload.committed_size
    backoff = connection.backoff()

    def acknowledge(size: int) -> None:
        nonlocal committed
        if size > committed:
            committed = size
            backoff.made_progress()
        if on_progress is not None:
            on_progress(size, song.size_bytes)

    while not upload.complete:
        try:
            return _write(connection, upload.upload_id, song, acknowledge)
        except (ServerUnavailableError, TransferInterruptedError) as error:
            connection.wait_or_raise(backoff, error)
        # The stream may have broken between the end of the upload and the news of it.
        get = upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id)
        upload = to_upload(connection.unary(connection.uploads.GetUpload, get).upload)
        acknowledge(upload.committed_size)
    acknowledge(song.size_bytes)
    return upload


def song_request_id(song: Song) -> str:
    """Return an id that the same bytes in the same format always get."""
    song_format = song.format().SerializeToString(deterministic=True)
    return "song-" + hashlib.sha256(song_format + bytes.fromhex(song.sha256)).hexdigest()[:40]


def _write(connection: Connection, upload_id: str, song: Song, acknowledge: Callable[[int], None]) -> Upload:
    """Write from where the server says until it says that the upload is complete."""
    start: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # the first offset; None = the call has ended
    reading_errors: list[Exception] = []

    def requests() -> Iterator[upload_service_pb2.WriteUploadRequest]:
        yield upload_service_pb2.WriteUploadRequest(
            open=upload_service_pb2.WriteUploadOpen(upload_id=upload_id)
        )
        offset = start.get()
        if offset is None:
            return
        try:
            for chunk in song_chunks(song, offset):
                yield upload_service_pb2.WriteUploadRequest(chunk=chunk)
        except (OSError, BadAudioError) as error:
            reading_errors.append(error)
            return  # the half-close pauses the upload
        finish = upload_service_pb2.WriteUploadFinish(size_bytes=song.size_bytes, sha256=song.sha256)
        yield upload_service_pb2.WriteUploadRequest(finish=finish)

    try:
        with connection.stream(connection.uploads.WriteUpload, requests()) as responses:
            for number, response in enumerate(responses):
                acknowledge(response.committed_size)
                if number == 0:
                    start.put(response.committed_size)
                if response.HasField("upload"):
                    return to_upload(response.upload)
    finally:
        start.put(None)
    if reading_errors:
        raise reading_errors[0]
    raise ServerError(f"the server ended the upload {upload_id} without saying that it is complete")


def list_uploads(connection: Connection, *, page_size: int = 100) -> Iterator[Upload]:
    """Yield all songs and videos that the caller has at the server, newest first."""
    request = upload_service_pb2.ListUploadsRequest(page_size=page_size)
    for page in connection.pages(connection.uploads.ListUploads, request):
        for message in page.uploads:
            yield to_upload(message)


def delete_upload(connection: Connection, upload_id: str) -> None:
    """Delete a song or a video; WrongStateError while a job that has not ended needs it."""
    request = upload_service_pb2.DeleteUploadRequest(upload_id=upload_id)
    connection.unary(connection.uploads.DeleteUpload, request)


def get_usage(connection: Connection) -> Usage:
    """Return how much the caller stores, and may store."""
    request = upload_service_pb2.GetUsageRequest()
    return to_resource(Usage, connection.unary(connection.uploads.GetUsage, request))


def song_chunks(song: Song, offset: int) -> Iterator[audio_pb2.Chunk]:
    """Yield the song's bytes from `offset` on.

    Raises:
        BadAudioError: the file became shorter while it was read.
    """
    while offset < song.size_bytes:
        data = song.read(offset, min(CHUNK_BYTES, song.size_bytes - offset))
        if not data:
            raise BadAudioError(
                f"{song.name} had {song.size_bytes} bytes and now ends after {offset}; "
                "send it again when nothing writes to it"
            )
        yield audio_pb2.Chunk(offset=offset, data=data, crc32c=google_crc32c.value(data))
        offset += len(data)
