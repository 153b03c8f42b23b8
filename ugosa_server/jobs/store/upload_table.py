"""The rows of uploads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from ugosa_server.audio import SourceAudio
from ugosa_server.audio.frames import SAMPLE_BYTES
from ugosa_server.errors import UploadInUseError
from ugosa_server.jobs.model import Upload, UploadFormat, UploadState
from ugosa_server.jobs.store.clock_table import ClockTable
from ugosa_server.jobs.store.rows import START_FROM, Database, Record, place_of_token, token_of_place
from ugosa_server.marks.players import VideoInfo

UPLOAD = Record(Upload, {"format": UploadFormat(), "audio": None, "video": None}, without=("damaged",))
COLUMNS = UPLOAD.columns()


class UploadTable:
    """Reads and writes uploads. Every method is one transaction, durable when it returns.

    NotFoundError is raised where a principal has none of an id.
    """

    def __init__(self, database: Database, clock: ClockTable) -> None:
        self._db = database
        self._clock = clock

    def create(
        self,
        upload_id: str,
        principal: str,
        request_id: str,
        request_digest: str,
        upload_format: UploadFormat,
        admit: Callable[[], None] = lambda: None,
    ) -> Upload:
        """Insert an empty upload, or return the one that the same request made before.

        One whose row is damaged is received again. `admit` is called before anything is inserted and raises
        what speaks against it.

        Raises:
            RequestIdConflictError: the request_id belongs to another request.
        """
        with self._db.transaction():
            known_id = self._db.find_request("uploads", principal, request_id, request_digest)
            if known_id is not None:
                known = self.get(principal, known_id)
                if not known.damaged:
                    return known
                self._db.update("uploads", known_id, format=upload_format)
                self.receive_again(known_id)
                return self.get(principal, known_id)
            admit()
            self._db.insert(
                "uploads",
                upload_id=upload_id,
                principal=principal,
                request_id=request_id,
                request_digest=request_digest,
                format=upload_format,
                state=UploadState.RECEIVING,
                create_time_s=self._clock.stamp_s(),
            )
            return self.get(principal, upload_id)

    def get(self, principal: str, upload_id: str) -> Upload:
        """Return an upload of this principal."""
        return _upload(self._db.owned(tuple[Any, ...], "uploads", COLUMNS, principal, upload_id))

    def page(self, principal: str, token: str, limit: int) -> tuple[list[Upload], str]:
        """Return uploads newest first, and the token of the next page; empty tokens: the first, none more.

        Raises:
            BadOptionError: the token is not one of this list.
        """
        place = place_of_token(token, (math.inf, ""), tuple[float, str])
        rows = self._db.execute(
            f"SELECT {COLUMNS} FROM uploads WHERE principal = ? AND (create_time_s, upload_id) < (?, ?)"
            " ORDER BY create_time_s DESC, upload_id DESC LIMIT ?",
            (principal, *place, limit + 1),
        ).fetchall()
        page = [_upload(row) for row in rows[:limit]]
        has_more = len(rows) > limit
        return page, token_of_place((page[-1].create_time_s, page[-1].upload_id)) if has_more else ""

    def set_committed_size(self, upload_id: str, committed_size: int) -> None:
        """Record that this many bytes are on disk."""
        self._db.update("uploads", upload_id, committed_size=committed_size, stored_bytes=committed_size)

    def complete(
        self, upload_id: str, sha256: str, audio: SourceAudio | None = None, video: VideoInfo | None = None
    ) -> None:
        """Record that an upload is verified and decoded; a video and an adapter stay as they came."""
        decoded = {"stored_bytes": audio.frames * audio.channels * SAMPLE_BYTES} if audio else {}
        self._db.update(
            "uploads",
            upload_id,
            state=UploadState.COMPLETE,
            sha256=sha256,
            audio=audio,
            video=video,
            **decoded,
        )

    def receive_again(self, upload_id: str) -> None:
        """Make an upload RECEIVING from its first byte, because what was decoded is damaged."""
        self._db.execute(
            "UPDATE uploads SET state = ?, committed_size = 0, stored_bytes = 0, sha256 = '', audio = NULL,"
            " video = NULL, create_time_s = ? WHERE upload_id = ?",
            (UploadState.RECEIVING, self._clock.stamp_s(), upload_id),
        )

    def delete(self, principal: str, upload_id: str) -> None:
        """Remove an upload.

        Raises:
            UploadInUseError: a job that has not ended needs it.
        """
        with self._db.transaction():
            self._db.owned(tuple[int], "uploads", "1", principal, upload_id)
            job_ids = self._db.strings(
                "SELECT job_id FROM jobs WHERE (upload_id = ?1 OR video_upload_id = ?1"
                f" OR {START_FROM} = ?1) AND end_time_s IS NULL",
                (upload_id,),
            )
            if job_ids:
                raise UploadInUseError(
                    f"job {job_ids[0]} needs upload {upload_id}; cancel it or wait for its end"
                )
            self._db.execute("DELETE FROM uploads WHERE upload_id = ?", (upload_id,))

    def delete_unused(self, before_s: float, but: set[str]) -> list[str]:
        """Remove uploads made before a time that no job has needed since; return their ids.

        A job needs its upload until it has ended. Those in `but` are being written.
        """
        return self._db.strings(
            "DELETE FROM uploads WHERE create_time_s < ?1"
            " AND upload_id NOT IN (SELECT value FROM json_each(?2))"
            " AND NOT EXISTS (SELECT 1 FROM jobs WHERE coalesce(end_time_s, ?1) >= ?1"
            " AND (jobs.upload_id = uploads.upload_id OR video_upload_id = uploads.upload_id))"
            f" AND upload_id NOT IN (SELECT {START_FROM} FROM jobs WHERE end_time_s IS NULL)"
            " RETURNING upload_id",
            (before_s, json.dumps(list(but))),
        )

    def all_ids(self) -> set[str]:
        """Return the ids of all uploads, for the sweep of the spool."""
        return set(self._db.strings("SELECT upload_id FROM uploads"))


def _upload(row: Sequence[Any]) -> Upload:
    values, damaged = UPLOAD.values(row)
    if damaged:
        values.update(state=UploadState.RECEIVING, audio=None, video=None, damaged=True)
    return Upload(**values)
