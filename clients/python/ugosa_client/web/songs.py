"""Songs of the page: those on this machine, their jobs at the server, and what is noted about each."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import soundfile

from ugosa_client.address import default_state_home
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, NotFoundError, WrongStateError
from ugosa_client.resources import AudioInfo, Job, JobKind, Stem, Upload
from ugosa_client.song import SoundPath, display_name, has_length, sound_path
from ugosa_client.web.audio import PlainWav, StemReader, file_peaks, stem_peaks

MAX_CACHED_PEAKS = 200
MAX_CACHED_PREVIEWS = 16  # of one source each, at most 15 s
MAX_NOTES_BYTES = 8_000_000
SHA256 = re.compile(r"[0-9a-f]{64}")

Key = TypeVar("Key")


@dataclass(frozen=True)
class Song:
    """A song as the page knows it."""

    upload_id: str
    """Id at the server; a song that it has deleted gets another one when it is sent again."""
    sha256: str
    """Hex digest of its bytes, by which its jobs and notes are found however often it is sent."""
    file_name: str
    """Name for display."""
    audio: AudioInfo
    can_be_heard: bool
    """Whether the mix itself is on this machine; if not, it is heard as the sum of stems."""


class Songs:
    """Songs, jobs and notes, for any number of threads."""

    def __init__(self, client: UgosaClient, notes_dir: Path) -> None:
        self._client = client
        self._notes_dir = notes_dir
        self._lock = threading.Lock()
        self._paths: dict[str, SoundPath] = {}
        self._songs: dict[str, Song] = {}
        self._sha256s: dict[str, str] = {}
        self._ended: dict[str, Job] = {}
        self._peaks: dict[tuple[str, str], bytes] = {}
        self._previews: dict[tuple[str, str, int], bytes] = {}

    def add(self, path: Path, file_name: str) -> Song:
        """Send a file to the server, unless it is there, and return its song.

        Raises:
            BadAudioError: it is no audio.
        """
        upload, file = self._client.upload(path), sound_path(path)
        name, is_readable = display_name(file_name), _is_readable(file)
        song = Song(upload.upload_id, upload.sha256, name, _audio(upload), is_readable)
        with self._lock:
            self._songs[song.upload_id] = song
            if song.can_be_heard:
                self._paths[song.upload_id] = file
        return song

    def all(self) -> list[Song]:
        """Return the songs that are open or have jobs, each once, the latest first."""
        songs: dict[str, Song] = {}
        for song in self._sent():
            songs.setdefault(song.sha256, song)
        return list(songs.values())

    def _sent(self) -> Iterator[Song]:
        """Yield all that was sent here or has jobs, under every id that it had, the latest first."""
        with self._lock:
            opened = list(self._songs.values())
        yield from reversed(opened)
        for job in self._client.list_jobs():
            if job.kind is JobKind.SEPARATION and job.audio is not None:
                yield Song(job.upload_id, job.song_sha256, job.file_name, job.audio, False)

    def song(self, upload_id: str) -> Song:
        """Return a song; NotFoundError if neither this machine nor a job has it."""
        for song in self._sent():
            if song.upload_id == upload_id:
                return song
        raise NotFoundError(f"no song {upload_id} is open here, and no job is about it; drop the file again")

    def jobs(self, upload_id: str) -> list[Job]:
        """Return the separations of a song with their marks, newest first."""
        return [
            self.job(job.job_id)
            for job in self._client.list_jobs(song_sha256=self._sha256(upload_id))
            if job.kind is JobKind.SEPARATION
        ]

    def job(self, job_id: str) -> Job:
        """Return a job; one that has ended is asked for once."""
        if job_id in self._ended:
            return self._ended[job_id]
        job = self._client.get_job(job_id)
        if not job.state.is_terminal:
            return job
        return self._ended.setdefault(job_id, job)  # `star` may have noted a newer one meanwhile

    def star(self, job_id: str, starred: bool) -> Job:
        """Let the server keep a job with its stems for ever, or no longer."""
        job = self._client.star(job_id, starred=starred)
        if job.state.is_terminal:
            self._ended[job_id] = job
        return job

    def stems(self, job_id: str, is_base: bool = False) -> tuple[Stem, ...]:
        """Return the stems of a job, or those of the model as it is; NotFoundError if it has none."""
        job = self.job(job_id)
        stems = job.base_stems if is_base else job.stems
        if stems:
            return stems
        if is_base:
            raise NotFoundError(f"job {job_id} has no stems of the model as it is")
        raise NotFoundError(f"job {job_id} is {job.state}, and only a job that succeeded has stems")

    def stem(self, job_id: str, source: str, is_base: bool = False) -> Stem:
        """Return one of these stems."""
        for stem in self.stems(job_id, is_base):
            if stem.source == source:
                return stem
        raise NotFoundError(f"job {job_id} has no stem {source!r}")

    def mix(self, upload_id: str) -> PlainWav:
        """Return the mix as a WAV file; NotFoundError if it is not on this machine."""
        path = self._path(upload_id)
        return PlainWav(lambda: path)

    def stem_wav(self, job_id: str, stem: Stem) -> PlainWav:
        """Return a stem of any encoding as a WAV file."""
        return PlainWav(lambda: StemReader(self._client, job_id, stem))

    def preview_wav(self, job_id: str, source: str, step: int) -> PlainWav:
        """Return a source of a preview of a job that learns; NotFoundError if there is none.

        Args:
            job_id: the job.
            source: one of its stems.
            step: after which the preview was made; what was read of it before is not asked for again.
        """
        key = (job_id, source, step)
        data = self._cached(
            self._previews, MAX_CACHED_PREVIEWS, key, lambda: self._client.read_preview(job_id, source, step)
        )
        return PlainWav(lambda: io.BytesIO(data))

    def mix_peaks(self, upload_id: str) -> bytes:
        """Return the peaks of the mix."""
        return self._cached_peaks((upload_id, ""), lambda: file_peaks(self._path(upload_id)))

    def stem_peaks(self, job_id: str, stem: Stem) -> bytes:
        """Return the peaks of a stem."""
        return self._cached_peaks((stem.sha256, stem.source), lambda: stem_peaks(self._client, job_id, stem))

    def notes(self, upload_id: str) -> dict[str, Any]:
        """Return what was noted about a song; empty if nothing was."""
        try:
            notes = json.loads(self._notes_path(upload_id).read_bytes())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def notes_tag(self, upload_id: str) -> str:
        """Return what is another word for other notes."""
        return _tag_of(self._notes_path(upload_id))

    def write_notes(self, upload_id: str, notes: dict[str, Any], instead_of: str | None = None) -> str:
        """Keep notes about a song, in place of those of a tag, or of any (None); return their own tag.

        Raises:
            WrongStateError: there are others by now.
        """
        data = json.dumps(notes).encode()
        if len(data) > MAX_NOTES_BYTES:
            raise BadInputError(f"notes of {len(data)} bytes are too long; {MAX_NOTES_BYTES} are kept")
        path = self._notes_path(upload_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{threading.get_ident()}.tmp")
        with self._lock:
            if instead_of not in (None, _tag_of(path)):
                raise WrongStateError(
                    "the marks of this song were changed in another window, and are not kept from this one;"
                    " load this page again to go on from those",
                    "MARKS_CHANGED",
                )
            partial.write_bytes(data)
            os.replace(partial, path)
        return hashlib.sha256(data).hexdigest()

    def _notes_path(self, upload_id: str) -> Path:
        return self._notes_dir / f"{self._sha256(upload_id)}.json"

    def _sha256(self, upload_id: str) -> str:
        sha256 = self._sha256s.get(upload_id) or self.song(upload_id).sha256
        if not SHA256.fullmatch(sha256):
            raise NotFoundError(f"the server has sent no digest of the song {upload_id}")
        self._sha256s[upload_id] = sha256
        return sha256

    def _path(self, upload_id: str) -> SoundPath:
        path = self._paths.get(upload_id)
        if path is None:
            raise NotFoundError(
                "the mix is not on this machine; drop the file to hear it before it is separated"
            )
        return path

    def _cached_peaks(self, key: tuple[str, str], compute: Callable[[], bytes]) -> bytes:
        return self._cached(self._peaks, MAX_CACHED_PEAKS, key, compute)

    def _cached(
        self, cache: dict[Key, bytes], max_entries: int, key: Key, compute: Callable[[], bytes]
    ) -> bytes:
        data = cache.get(key)
        if data is None:
            data = compute()
            with self._lock:
                while len(cache) >= max_entries:
                    del cache[next(iter(cache))]
                cache[key] = data
        return data


def _tag_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def default_notes_dir() -> Path:
    """Return the folder of notes: `$XDG_STATE_HOME/ugosa-web`, which is `~/.local/state/ugosa-web`."""
    return default_state_home() / "ugosa-web"


def _audio(upload: Upload) -> AudioInfo:
    if upload.audio is None:
        raise BadInputError("this is a video without sound of its own; drop a song")
    return upload.audio


def _is_readable(path: SoundPath) -> bool:
    try:
        return has_length(soundfile.info(path).frames)
    except soundfile.LibsndfileError:
        return False
