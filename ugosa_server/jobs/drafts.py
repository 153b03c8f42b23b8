"""Jobs before they are made: every check that needs no room in the queue."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ugosa_server.audio import SourceAudio, check_stem_rate
from ugosa_server.errors import BadOptionError, NoVideoEncoderError, UploadDamagedError
from ugosa_server.jobs.model import Job, JobDraft, Upload, request_digest
from ugosa_server.jobs.options import JobOptionsRequest, resolve_job_options
from ugosa_server.jobs.runs import BaseStems, JobOptions, StemChoice
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.starts import AUTO, NO_START, Starts
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.marks import (
    Mark,
    MarkSet,
    check_all_silent,
    check_marks_of_absent,
    clock,
    marks_of_ensemble,
    playing_sources,
    validate_marks,
)
from ugosa_server.marks.players import check_boxes, picture_times_s
from ugosa_server.models import ModelInfo, ModelRegistry

MAX_PREVIEW_S = 15.0
MAX_STEM_SAMPLE_BYTES = 4  # of WAV_FLOAT32; the other encodings take less


class JobDrafts:
    """Checks jobs against their songs and models."""

    def __init__(
        self,
        store: AsyncStore,
        spool: Spool,
        registry: ModelRegistry,
        default_model: str,
        *,
        takes_pictures: bool,
    ) -> None:
        self._store, self._spool = store, spool
        self.starts = Starts(store, spool)
        self._registry = registry
        self.default_model = default_model
        self._takes_pictures = takes_pictures

    def model(self, name: str | None) -> ModelInfo:
        """Return the model of that name, or the default one.

        Raises:
            UnknownModelError: there is no such model.
        """
        return self._registry.get(name or self.default_model)

    async def draft(
        self, upload: Upload, options_request: JobOptionsRequest, marks: tuple[Mark, ...]
    ) -> JobDraft:
        """Check everything that can be checked of a job before it is made.

        Raises:
            InvalidInputError: options or marks that can never work.
            UploadIncompleteError: the song is not there yet.
            UploadDamagedError: its file is gone or damaged; it can be sent again.
        """
        song = upload.require_song()
        if not await asyncio.to_thread(self._spool.is_whole, upload):
            await self._store(lambda s: s.uploads.receive_again(upload.upload_id))
            raise UploadDamagedError("the song on the server's disk is gone or damaged; send it again")
        model = self.model(options_request.model)
        options = resolve_job_options(options_request, model)
        await self._check_pictures(upload.principal, options, model, song)
        draft = await asyncio.to_thread(_checked, self._spool.located(upload), options, marks, model)
        resolved = await self.starts.choose(draft, options_request, model)
        is_cold = resolved.start_from == NO_START
        equal_starts = (AUTO, NO_START) if options.start_from == AUTO else (options.start_from,)
        return replace(
            draft,
            options=resolved,
            content_sha256=_content_sha256(draft, model, NO_START if is_cold else options.start_from),
            equal_contents=tuple(_content_sha256(draft, model, start) for start in equal_starts),
        )

    async def _check_pictures(
        self, principal: str, options: JobOptions, model: ModelInfo, song: SourceAudio
    ) -> None:
        """Make sure that the pictures of a job can be taken and encoded."""
        if not (options.pictures or options.video):
            return
        if not self._takes_pictures:
            raise NoVideoEncoderError(
                "this server makes no features of pictures; whoever runs it can name an encoder in the"
                " setting video_encoder, or you send features made with `ugosa-server video features`"
            )
        if options.video is not None:
            video_id = options.video.upload_id
            upload = await self._store(lambda s: s.uploads.get(principal, video_id))
            upload.require_complete()
            if upload.video is None:
                raise BadOptionError(
                    f"upload {video_id} is a song, not a video of players; upload one as VideoFormat"
                )
            check_boxes(options.video.players, upload.video.width, upload.video.height)
            assert model.config.video is not None  # or its options would have been refused
            picture_times_s(options.video, model.config.video.interval_s, song.frames / song.sample_rate_hz)

    async def with_marks(self, job: Job, upload: Upload, marks: tuple[Mark, ...]) -> JobDraft:
        """Check other marks for a job.

        Raises:
            InvalidInputError: the marks can never work, or the job starts from an adapter.
        """
        if job.options.start_from != NO_START:
            raise BadOptionError(
                f"job {job.job_id} starts from {job.options.start_from}, chosen for the marks that it has;"
                " make a new job with the others"
            )
        model = self.model(job.options.model)
        return await asyncio.to_thread(_checked, self._spool.located(upload), job.options, marks, model)


def _checked(upload: Upload, options: JobOptions, marks: tuple[Mark, ...], model: ModelInfo) -> JobDraft:
    """Return a draft whose marks, stems and preview fit its song; slow where the marks are many."""
    song = upload.require_song()
    check_stem_rate(options.stem_encoding, song.sample_rate_hz)
    _check_preview(options, song)
    marks = validate_marks(marks, model.sources, song.frames)
    check_marks_of_absent(marks, options.instruments, model.config.sources)
    stems = stems_of_job(options.instruments, marks, model, song)
    check_all_silent(MarkSet(marks), stems, song)
    for name in options.stems:
        if name not in stems:
            raise BadOptionError(
                f"the stem {name!r} was chosen, but this job makes {', '.join(stems)}; add {name} to the"
                " instruments that play, or choose other stems"
            )
    playing = tuple(name for name in stems if name in model.config.sources)
    of_ensemble = marks_of_ensemble(MarkSet(marks), playing, model.config.sources, song.frames)
    n_stems = 0 if options.is_analysis else len(StemChoice(stems, options.stems).names)
    n_stems *= 1 if options.base_stems is BaseStems.NONE else 2
    stems_bytes = n_stems * song.frames * song.channels * MAX_STEM_SAMPLE_BYTES
    return JobDraft(upload, options, marks, of_ensemble, stems_bytes)


def _check_preview(options: JobOptions, song: SourceAudio) -> None:
    """Make sure that previews are made of a short stretch of the song, if of any."""
    start, end, rate = options.preview_start_frame, options.preview_end_frame, song.sample_rate_hz
    if (start, end) == (0, 0):
        return
    if not start < end <= song.frames:
        raise BadOptionError(
            f"the preview goes from {clock(start / rate)} to {clock(end / rate)} (frames {start} to {end}),"
            f" but must lie within the song, which ends at {clock(song.frames / rate)} (frame {song.frames}),"
            " its end after its start"
        )
    if end - start > MAX_PREVIEW_S * rate:
        raise BadOptionError(
            f"the preview is {(end - start) / rate:g} s long, but must be at most"
            f" {MAX_PREVIEW_S:g} s; name a shorter stretch"
        )


def _content_sha256(draft: JobDraft, model: ModelInfo, start_from: str) -> str:
    song = draft.upload.require_song()
    # Previews change no stem.
    options = replace(draft.options, start_from=start_from, preview_start_frame=0, preview_end_frame=0)
    # Raw samples of equal bytes differ in what is stated beside them; where they lie is no part of them.
    stated = replace(song, path="", sha256="")
    return request_digest(draft.upload.sha256, stated, model.sha256, options, sorted(draft.marks))


def stems_of_job(
    instruments: tuple[str, ...], marks: tuple[Mark, ...], model: ModelInfo, audio: SourceAudio
) -> tuple[str, ...]:
    """Return the names of the stems that a job gives, in the model's order."""
    if not model.residual:
        return model.sources
    return (
        *playing_sources(instruments, MarkSet(marks), model.config.sources, audio.frames),
        *model.residual,
    )
