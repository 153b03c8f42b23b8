"""UploadService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from ugosa_server.errors import BadOptionError
from ugosa_server.jobs import UploadState
from ugosa_server.jobs.uploads import Uploads
from ugosa_server.rpc.chunks import BatchReader, first_message, received_chunk
from ugosa_server.rpc.convert import (
    checked_page_size,
    message_of,
    upload_format_from_wire,
    upload_to_wire,
)
from ugosa_server.rpc.interceptors import Context, current_principal
from ugosa_server.wire.ugosa.v1 import upload_service_pb2 as wire
from ugosa_server.wire.ugosa.v1.upload_service_pb2_grpc import UploadServiceServicer


class UploadService(UploadServiceServicer):
    """See protos/ugosa/v1/upload_service.proto."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def CreateUpload(
        self, request: wire.CreateUploadRequest, context: Context
    ) -> wire.CreateUploadResponse:
        upload = await self._uploads.create(
            current_principal(),
            request.request_id,
            upload_format_from_wire(request.format),
            request.size_bytes,
        )
        return wire.CreateUploadResponse(upload=upload_to_wire(upload))

    async def WriteUpload(
        self, request_iterator: AsyncIterator[wire.WriteUploadRequest], context: Context
    ) -> AsyncGenerator[wire.WriteUploadResponse, None]:
        idle_timeout_s = self._uploads.limits.upload_idle_timeout_s
        first = await first_message(request_iterator, idle_timeout_s)
        if first is None or first.WhichOneof("part") != "open":
            raise BadOptionError("the first message of WriteUpload must be `open`")
        principal, upload_id = current_principal(), first.open.upload_id
        upload = await self._uploads.get(principal, upload_id)
        if upload.state is UploadState.COMPLETE:  # a client whose `finish` was done, but not answered
            yield wire.WriteUploadResponse(
                committed_size=upload.committed_size, upload=upload_to_wire(upload)
            )
            return
        async with (
            self._uploads.open(principal, upload_id) as opened,
            aclosing(BatchReader(request_iterator, idle_timeout_s).batches()) as batches,
        ):
            yield wire.WriteUploadResponse(committed_size=opened.committed_size)
            async for batch in batches:
                finish = batch.pop().finish if batch[-1].WhichOneof("part") == "finish" else None
                if any(message.WhichOneof("part") != "chunk" for message in batch):
                    raise BadOptionError("after `open`, WriteUpload takes chunks and, last, one `finish`")
                if batch:
                    size = await opened.write([received_chunk(message.chunk) for message in batch])
                    yield wire.WriteUploadResponse(committed_size=size)
                if finish is not None:
                    upload = await opened.finish(finish.size_bytes, finish.sha256)
                    yield wire.WriteUploadResponse(
                        committed_size=upload.committed_size, upload=upload_to_wire(upload)
                    )
                    return

    async def GetUpload(self, request: wire.GetUploadRequest, context: Context) -> wire.GetUploadResponse:
        upload = await self._uploads.get(current_principal(), request.upload_id)
        return wire.GetUploadResponse(upload=upload_to_wire(upload))

    async def ListUploads(
        self, request: wire.ListUploadsRequest, context: Context
    ) -> wire.ListUploadsResponse:
        principal, page_size = current_principal(), checked_page_size(request.page_size)
        uploads, token = await self._uploads.store(
            lambda s: s.uploads.page(principal, request.page_token, page_size)
        )
        return wire.ListUploadsResponse(
            uploads=[upload_to_wire(upload) for upload in uploads], next_page_token=token
        )

    async def GetUsage(self, request: wire.GetUsageRequest, context: Context) -> wire.GetUsageResponse:
        return message_of(wire.GetUsageResponse, await self._uploads.usage(current_principal()))

    async def DeleteUpload(
        self, request: wire.DeleteUploadRequest, context: Context
    ) -> wire.DeleteUploadResponse:
        await self._uploads.delete(current_principal(), request.upload_id)
        return wire.DeleteUploadResponse()
