"""Audio on disk: what was uploaded, what was decoded, what a job wrote.

    <state>/uploads/<upload_id>/bytes        as received, until it is decoded
    <state>/uploads/<upload_id>/audio.f32    decoded (audio/formats.py)
    <state>/jobs/<job_id>/<attempt>/         stems and reports of one attempt

Ids are made by the server; no name from outside touches the file system.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ugosa_server.durable_files import sync_folder
from ugosa_server.errors import DiskFullError


class Spool:
    """The folders under the state directory."""

    def __init__(self, state_dir: Path, min_free_bytes: int) -> None:
        self._uploads = state_dir / "uploads"
        self._jobs = state_dir / "jobs"
        self._min_free_bytes = min_free_bytes
        for folder in (self._uploads, self._jobs):
            folder.mkdir(parents=True, exist_ok=True)

    def upload_dir(self, upload_id: str) -> Path:
        """Folder of an upload."""
        return self._uploads / upload_id

    def bytes_path(self, upload_id: str) -> Path:
        """File of the bytes as received."""
        return self._uploads / upload_id / "bytes"

    def audio_path(self, upload_id: str) -> Path:
        """File of the decoded audio."""
        return self._uploads / upload_id / "audio.f32"

    def attempt_dir(self, job_id: str, attempt: int) -> Path:
        """Folder of one attempt of a job."""
        return self._jobs / job_id / str(attempt)

    def make_upload(self, upload_id: str) -> None:
        """Make the folder and the empty file of an upload; durable on return."""
        folder = self.upload_dir(upload_id)
        folder.mkdir(exist_ok=True)
        self.bytes_path(upload_id).touch()
        sync_folder(folder)
        sync_folder(self._uploads)

    def make_attempt(self, job_id: str, attempt: int) -> Path:
        """Make an empty folder for an attempt, and remove those of earlier ones."""
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)
        folder = self.attempt_dir(job_id, attempt)
        folder.mkdir(parents=True)
        sync_folder(self._jobs)
        return folder

    def delete_bytes(self, upload_id: str) -> None:
        """Remove the bytes as received."""
        self.bytes_path(upload_id).unlink(missing_ok=True)

    def delete_upload(self, upload_id: str) -> None:
        """Remove everything of an upload."""
        shutil.rmtree(self.upload_dir(upload_id), ignore_errors=True)

    def delete_job(self, job_id: str) -> None:
        """Remove everything of a job."""
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)

    def sweep(self, upload_ids: set[str], job_ids: set[str]) -> None:
        """Remove folders that the store does not know, left behind by a crash between the two."""
        for folder in self._uploads.iterdir():
            if folder.name not in upload_ids:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self._jobs.iterdir():
            if folder.name not in job_ids:
                shutil.rmtree(folder, ignore_errors=True)

    def check_free(self, needed_bytes: int) -> None:
        """Make sure that this many bytes fit above the floor of free space.

        Raises:
            DiskFullError: they do not.
        """
        free = shutil.disk_usage(self._uploads).free
        if free - needed_bytes < self._min_free_bytes:
            raise DiskFullError(
                f"{needed_bytes / 1e6:.0f} MB are needed, but the state directory has {free / 1e6:.0f} MB"
                f" free and keeps {self._min_free_bytes / 1e6:.0f} MB; delete old jobs or free some space"
            )
