"""Files of uploads and jobs under the state directory.

    <state>/uploads/<upload_id>/bytes        as received, until it is decoded
    <state>/uploads/<upload_id>/audio.f32    decoded (audio/formats.py)
    <state>/jobs/<job_id>/<attempt>/         stems and reports of one attempt
    <state>/checkpoints/<job_id>/<attempt>.safetensors   state of an attempt's adaptation
    <state>/ballast                          room for deletions on a full disk (`Spool.deleting`)
    <state>/lost+found/                      folders that the database did not know (retention.py)

Ids are made by the server; no name from outside touches the file system.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ugosa_server.audio.frames import SAMPLE_BYTES
from ugosa_server.errors import DiskFullError
from ugosa_server.files import make_folder, sync
from ugosa_server.jobs.model import Job, Upload

SPOOL_FOLDERS = ("uploads", "jobs", "checkpoints")
BALLAST_BYTES = 4 * 1024 * 1024

R = TypeVar("R")
WithSong = TypeVar("WithSong", Upload, Job)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttemptPaths:
    """Paths of one attempt of a job."""

    out_dir: Path
    checkpoint: Path
    """File for the state of its adaptation, of this attempt alone: a stale attempt overwrites nothing."""
    resume: Path | None
    """The newest such file of an earlier attempt."""


class Spool:
    """The folders under the state directory."""

    def __init__(self, state_dir: Path, min_free_bytes: int) -> None:
        self.state_dir = state_dir
        self._uploads, self._jobs, self._checkpoints = (state_dir / name for name in SPOOL_FOLDERS)
        self.min_free_bytes = min_free_bytes
        self._ballast = state_dir / "ballast"
        for folder in (self._uploads, self._jobs, self._checkpoints):
            make_folder(folder)

    def upload_dir(self, upload_id: str) -> Path:
        """Return the folder of an upload."""
        return self._uploads / upload_id

    def bytes_path(self, upload_id: str) -> Path:
        """Return the file of the bytes as received."""
        return self._uploads / upload_id / "bytes"

    def audio_path(self, upload_id: str) -> Path:
        """Return the file of the decoded audio."""
        return self._uploads / upload_id / "audio.f32"

    def attempt_dir(self, job_id: str, attempt: int) -> Path:
        """Return the folder of one attempt of a job."""
        return self._jobs / job_id / str(attempt)

    def checkpoint_path(self, job_id: str, attempt: int) -> Path:
        """Return the file for the state of an attempt's adaptation."""
        return self._checkpoints / job_id / f"{attempt}.safetensors"

    def make_upload(self, upload_id: str) -> None:
        """Make the folder and the empty file of an upload, unless they are there; durable on return."""
        folder = self.upload_dir(upload_id)
        is_new = not folder.exists()
        try:
            folder.mkdir(exist_ok=True)
            self.bytes_path(upload_id).touch()
            sync(folder)
            sync(self._uploads)
        except OSError:
            if is_new:
                self.delete_upload(upload_id)
            raise

    def make_attempt(self, job_id: str, attempt: int) -> AttemptPaths:
        """Make an empty folder for an attempt; of earlier ones, keep nothing but the newest checkpoint."""
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)
        out_dir = self.attempt_dir(job_id, attempt)
        out_dir.mkdir(parents=True)
        sync(self._jobs)
        checkpoints = self._checkpoints / job_id
        checkpoints.mkdir(exist_ok=True)
        sync(self._checkpoints)
        checkpoint = self.checkpoint_path(job_id, attempt)
        earlier = [self.checkpoint_path(job_id, number) for number in range(attempt - 1, 0, -1)]
        resume = next((path for path in earlier if path.exists()), None)
        for path in checkpoints.iterdir():
            if path != resume:
                path.unlink(missing_ok=True)
        return AttemptPaths(out_dir, checkpoint, resume)

    def located(self, with_song: WithSong) -> WithSong:
        """Return an upload or job whose song lies in this state directory, perhaps a copy of its first."""
        if with_song.audio is None:
            return with_song
        path = str(self.audio_path(with_song.upload_id))
        return replace(with_song, audio=replace(with_song.audio, path=path))

    def is_whole(self, upload: Upload) -> bool:
        """Return whether the file of a COMPLETE upload has the size that it had."""
        if upload.audio is None:
            path, size_bytes = self.bytes_path(upload.upload_id), upload.committed_size
        else:
            path = self.audio_path(upload.upload_id)
            size_bytes = upload.audio.frames * upload.audio.channels * SAMPLE_BYTES
        try:
            return path.stat().st_size == size_bytes
        except (FileNotFoundError, NotADirectoryError):
            return False

    def delete_upload(self, upload_id: str) -> None:
        """Remove everything of an upload."""
        shutil.rmtree(self.upload_dir(upload_id), ignore_errors=True)
        self.take_ballast()

    def delete_job(self, job_id: str) -> None:
        """Remove everything of a job."""
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)
        self.delete_checkpoints(job_id)
        self.take_ballast()

    def keep_file(self, job_id: str, attempt: int, name: str) -> None:
        """Remove everything of a job but one file; of one that has just been deleted, there is nothing."""
        for path in self.attempt_dir(job_id, attempt).glob("*"):
            if path.name != name:
                path.unlink(missing_ok=True)
        self.take_ballast()

    def delete_checkpoints(self, job_id: str) -> None:
        """Remove the checkpoints that a job keeps for further attempts."""
        shutil.rmtree(self._checkpoints / job_id, ignore_errors=True)

    @property
    def lost_and_found(self) -> Path:
        """Return the folder of what the database did not know."""
        return self.state_dir / "lost+found"

    def set_aside(self, path: Path) -> Path:
        """Move a folder of the spool to `lost+found`, under a free name, and return its place."""
        make_folder(self.lost_and_found)
        place = self.lost_and_found / f"{path.parent.name}-{path.name}"
        number = 1
        while place.exists():
            number += 1
            place = place.with_name(f"{path.parent.name}-{path.name}-{number}")
        path.rename(place)
        return place

    def remove(self, path: Path) -> None:
        """Remove a folder of the spool; a link is removed and never followed."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def check_free(self, needed_bytes: int) -> None:
        """Make sure that this many bytes fit above the floor of free space.

        Raises:
            DiskFullError: they do not.
        """
        free = shutil.disk_usage(self._uploads).free
        if free - needed_bytes < self.min_free_bytes:
            raise DiskFullError(
                f"{needed_bytes / 1e6:.0f} MB are needed, but the state directory has {free / 1e6:.0f} MB"
                f" free and keeps {self.min_free_bytes / 1e6:.0f} MB; delete old jobs or free some space"
            )

    def take_ballast(self) -> None:
        """Make the file that `deleting` gives up, unless it is there; without room there is none."""
        try:
            with self._ballast.open("xb") as stream:
                os.posix_fallocate(stream.fileno(), 0, BALLAST_BYTES)
        except FileExistsError:  # or another deletion is just making it
            return
        except OSError as error:
            log.warning("no room for %s: %s", self._ballast, error)
            self._ballast.unlink(missing_ok=True)

    async def deleting(self, work: Callable[[], Awaitable[R]]) -> R:
        """Return what `work` returns; where the disk is full, of a second try without the ballast.

        On a full disk nobody could delete anything, since SQLite writes a log before it frees a page.

        Raises:
            DiskFullError: there is no room even so.
        """
        try:
            return await work()
        except DiskFullError:
            log.warning("the disk is full; %s is given up so that something can be deleted", self._ballast)
            await asyncio.to_thread(self._ballast.unlink, missing_ok=True)  # or another deletion just has
            return await work()
