"""Conversion between the wire and the domain. Only this file and `options.py` know both."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp

from ugosa_server.adaptation import Outcome, Verdict
from ugosa_server.audio import PcmEncoding, RawPcm, SourceAudio
from ugosa_server.errors import BadOptionError, BadRegionError
from ugosa_server.jobs.events import JobError, JobEvent, JobState, StateChanged
from ugosa_server.jobs.model import Job, Upload, UploadFormat, UploadState
from ugosa_server.jobs.runs import (
    JobKind,
    RunBaseStems,
    RunNotice,
    RunPhase,
    RunPreview,
    RunProgress,
    StemFile,
)
from ugosa_server.marks import Finding, Mark, MarkState, Severity, Suggestion
from ugosa_server.models import ModelInfo
from ugosa_server.rpc.options import options_to_wire, stem_encoding_to_wire
from ugosa_server.wire.ugosa.v1 import (
    audio_pb2,
    job_pb2,
    marks_pb2,
    marks_service_pb2,
    model_service_pb2,
    upload_service_pb2,
)

MAX_FILE_NAME_CHARS = 255
MAX_MARKS = 20_000  # a song of an hour has some hundreds; each is work for everybody who waits

Word = TypeVar("Word", bound=StrEnum)


def _numbers(words: type[Word], enum: EnumTypeWrapper, prefix: str) -> dict[Word, Any]:
    """Return the number of each word on the wire, where its name is that of the word in capitals."""
    return {word: enum.Value(f"{prefix}_{word.upper().replace(' ', '_')}") for word in words}


JOB_STATES = _numbers(JobState, job_pb2.JobState, "JOB_STATE")
JOB_STATE_OF_WIRE = {wire: state for state, wire in JOB_STATES.items()}
PHASES = _numbers(RunPhase, job_pb2.JobPhase, "JOB_PHASE")
PCM_ENCODINGS = _numbers(PcmEncoding, audio_pb2.PcmEncoding, "PCM_ENCODING")
PCM_ENCODING_OF_WIRE = {wire: encoding for encoding, wire in PCM_ENCODINGS.items()}
MARK_STATES = _numbers(MarkState, marks_pb2.MarkState, "MARK_STATE")
MARK_STATE_OF_WIRE = {wire: state for state, wire in MARK_STATES.items()}
JOB_KINDS = _numbers(JobKind, job_pb2.JobKind, "JOB_KIND")
SEVERITIES = _numbers(Severity, marks_service_pb2.FindingSeverity, "FINDING_SEVERITY")
OUTCOMES = _numbers(Outcome, job_pb2.VerdictOutcome, "VERDICT_OUTCOME")


def upload_format_from_wire(message: audio_pb2.AudioFormat) -> UploadFormat:
    """Return the domain form of a format.

    Raises:
        BadOptionError: no format is set, or raw samples without their encoding.
    """
    match message.WhichOneof("format"):
        case "pcm":
            if message.pcm.encoding not in PCM_ENCODING_OF_WIRE:
                raise BadOptionError("format.pcm.encoding must be S16LE, S24LE or F32LE")
            encoding = PCM_ENCODING_OF_WIRE[message.pcm.encoding]
            return UploadFormat(RawPcm(encoding, message.pcm.sample_rate_hz, message.pcm.channels))
        case "encoded":
            return UploadFormat(file_name=_file_name(message.encoded.file_name))
        case "video":
            return UploadFormat(file_name=_file_name(message.video.file_name), is_video=True)
        case "adapter":
            return UploadFormat(file_name=_file_name(message.adapter.file_name), is_adapter=True)
    raise BadOptionError(
        "format must be set: `pcm` for raw samples, `encoded` for the bytes of a file, `video` for a video,"
        " `adapter` for an adapter"
    )


def _file_name(name: str) -> str:
    return "".join(char for char in name if char.isprintable())[-MAX_FILE_NAME_CHARS:]


def upload_format_to_wire(upload_format: UploadFormat) -> audio_pb2.AudioFormat:
    """Return the wire form of a format."""
    if upload_format.is_video:
        return audio_pb2.AudioFormat(video=audio_pb2.VideoFormat(file_name=upload_format.file_name))
    if upload_format.is_adapter:
        return audio_pb2.AudioFormat(adapter=audio_pb2.AdapterFormat(file_name=upload_format.file_name))
    if upload_format.pcm is None:
        return audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name=upload_format.file_name))
    pcm = upload_format.pcm
    return audio_pb2.AudioFormat(
        pcm=audio_pb2.PcmFormat(
            encoding=PCM_ENCODINGS[pcm.encoding], sample_rate_hz=pcm.sample_rate_hz, channels=pcm.channels
        )
    )


def upload_to_wire(upload: Upload) -> upload_service_pb2.Upload:
    """Return the wire form of an upload."""
    return upload_service_pb2.Upload(
        upload_id=upload.upload_id,
        state=upload_service_pb2.UPLOAD_STATE_COMPLETE
        if upload.state is UploadState.COMPLETE
        else upload_service_pb2.UPLOAD_STATE_RECEIVING,
        format=upload_format_to_wire(upload.format),
        committed_size=upload.committed_size,
        sha256=upload.sha256,
        audio=None if upload.audio is None else audio_to_wire(upload.audio),
        create_time=timestamp(upload.create_time_s),
        video=None if upload.video is None else audio_pb2.VideoInfo(**asdict(upload.video)),
        stored_bytes=upload.stored_bytes,
    )


def audio_to_wire(audio: SourceAudio) -> audio_pb2.AudioInfo:
    """Return the wire form of decoded audio; its path stays here."""
    return audio_pb2.AudioInfo(
        sample_rate_hz=audio.sample_rate_hz,
        channels=audio.channels,
        frames=audio.frames,
        encoding=audio.encoding,
        peak=audio.peak,
    )


def marks_from_wire(message: marks_pb2.Marks) -> tuple[Mark, ...]:
    """Return the domain form of marks.

    Raises:
        BadRegionError: a mark has no state, or there are too many.
    """
    if len(message.marks) > MAX_MARKS:
        raise BadRegionError(
            f"there are {len(message.marks)} marks; a job takes at most {MAX_MARKS}. Join those that touch",
            maximum=MAX_MARKS,
        )
    marks = []
    for number, mark in enumerate(message.marks, start=1):
        if mark.state not in MARK_STATE_OF_WIRE:
            raise BadRegionError(f"mark {number} ({mark.source!r}) must be ACTIVE or SILENT")
        marks.append(Mark(mark.source, MARK_STATE_OF_WIRE[mark.state], mark.start_frame, mark.end_frame))
    return tuple(marks)


def marks_to_wire(marks: Iterable[Mark]) -> marks_pb2.Marks:
    """Return the wire form of marks."""
    return marks_pb2.Marks(
        marks=[
            marks_pb2.Mark(
                source=mark.source,
                state=MARK_STATES[mark.state],
                start_frame=mark.start_frame,
                end_frame=mark.end_frame,
            )
            for mark in marks
        ]
    )


def finding_to_wire(finding: Finding) -> marks_service_pb2.Finding:
    """Return the wire form of a finding."""
    message = marks_service_pb2.Finding(
        code=finding.code,
        severity=SEVERITIES[finding.severity],
        source=finding.source,
        message=finding.message,
        fix=finding.fix,
    )
    if finding.span is not None:
        message.start_frame, message.end_frame = finding.span
    return message


def suggestion_to_wire(suggestion: Suggestion) -> marks_service_pb2.SuggestedMark:
    """Return the wire form of a suggestion."""
    (mark,) = marks_to_wire([suggestion.mark]).marks
    return marks_service_pb2.SuggestedMark(mark=mark, confidence=suggestion.confidence)


def job_to_wire(job: Job) -> job_pb2.Job:
    """Return the wire form of a job."""
    adapter = job.result.adapter if job.result else None
    return job_pb2.Job(
        job_id=job.job_id,
        request_id=job.request_id,
        upload_id=job.upload_id,
        state=JOB_STATES[job.state],
        options=options_to_wire(job.options),
        marks=marks_to_wire(job.marks),
        attempt=job.attempt,
        queue_position=job.queue_position,
        fraction=job.fraction,
        last_seq=job.last_seq,
        create_time=timestamp(job.create_time_s),
        start_time=timestamp(job.start_time_s),
        end_time=timestamp(job.end_time_s),
        error=_error_to_wire(job.error),
        stems=[_stem_to_wire(stem, job) for stem in job.result.stems] if job.result else [],
        audio=audio_to_wire(job.audio),
        file_name=job.file_name,
        kind=JOB_KINDS[job.options.kind],
        array_id=job.array_id,
        verdict=verdict_to_wire(job.result.verdict) if job.result and job.result.verdict else None,
        base_stems=[_stem_to_wire(stem, job) for stem in job.base_stems],
        accepted=job.accepted,
        adapter=job_pb2.Adapter(size_bytes=adapter.size_bytes, sha256=adapter.sha256) if adapter else None,
        starred=job.starred,
        song_sha256=job.upload_sha256,
    )


def verdict_to_wire(verdict: Verdict) -> job_pb2.Verdict:
    """Return the wire form of a verdict."""
    return job_pb2.Verdict(
        outcome=OUTCOMES[verdict.outcome],
        kept_epoch=verdict.kept_epoch,
        held_back_seconds=verdict.held_back_s,
        sources=[
            job_pb2.SourceVerdict(
                source=row.source,
                held_back_seconds=row.held_back_s,
                before_dbfs=row.before_dbfs,
                after_dbfs=row.after_dbfs,
            )
            for row in verdict.sources
        ],
        message=verdict.sentence,
        remixes_db=verdict.remixes_db,
    )


def event_to_wire(event: JobEvent) -> job_pb2.JobEvent:
    """Return the wire form of an event."""
    message = job_pb2.JobEvent(
        job_id=event.job_id, seq=event.seq, attempt=event.attempt, time=timestamp(event.time_s)
    )
    match event.body:
        case StateChanged(state, error):
            message.state_changed.CopyFrom(
                job_pb2.JobStateChanged(state=JOB_STATES[state], error=_error_to_wire(error))
            )
        case RunProgress() as progress:
            message.progress.CopyFrom(_progress_to_wire(progress))
        case RunNotice(reason, text, warning):
            level = job_pb2.NOTICE_LEVEL_WARNING if warning else job_pb2.NOTICE_LEVEL_INFO
            message.notice.CopyFrom(job_pb2.JobNotice(level=level, reason=reason, message=text))
        case RunBaseStems(stems):
            message.base_stems.CopyFrom(job_pb2.JobBaseStems(sources=[stem.source for stem in stems]))
        case RunPreview(stems, epoch, step, start, end):
            message.preview.CopyFrom(
                job_pb2.JobPreview(
                    sources=[stem.source for stem in stems],
                    epoch=epoch,
                    step=step,
                    start_frame=start,
                    end_frame=end,
                )
            )
    return message


def model_to_wire(model: ModelInfo, *, is_default: bool) -> model_service_pb2.Model:
    """Return the wire form of a model."""
    return model_service_pb2.Model(
        name=model.name,
        architecture=model.architecture,
        description=model.description,
        sources=model.sources,
        sample_rate_hz=model.sample_rate_hz,
        audio_channels=model.audio_channels,
        parameters=model.parameters,
        sha256=model.sha256,
        strategies=[model_service_pb2.Strategy(**asdict(strategy)) for strategy in model.strategies],
        is_default=is_default,
    )


def _progress_to_wire(progress: RunProgress) -> job_pb2.JobProgress:
    message = job_pb2.JobProgress(
        phase=PHASES[progress.phase],
        fraction=progress.fraction,
        step=progress.step,
        steps=progress.steps,
        epoch=progress.epoch,
        epochs=progress.epochs,
    )
    if progress.eta_s is not None and math.isfinite(progress.eta_s):
        message.eta_seconds = progress.eta_s
    if progress.held_back_db is not None:
        message.held_back_db = progress.held_back_db
    if progress.loss is not None:
        message.loss.CopyFrom(job_pb2.LossTerms(**asdict(progress.loss)))
    return message


def _stem_to_wire(stem: StemFile, job: Job) -> job_pb2.Stem:
    return job_pb2.Stem(
        source=stem.source,
        encoding=stem_encoding_to_wire(job.options.stem_encoding),
        sample_rate_hz=job.audio.sample_rate_hz,
        channels=job.audio.channels,
        frames=stem.frames,
        size_bytes=stem.size_bytes,
        sha256=stem.sha256,
    )


def _error_to_wire(error: JobError | None) -> job_pb2.JobError | None:
    return None if error is None else job_pb2.JobError(**asdict(error))


def timestamp(time_s: float | None) -> Timestamp | None:
    """Return the wire form of a Unix time."""
    if time_s is None:
        return None
    message = Timestamp()
    message.FromNanoseconds(round(time_s * 1e9))
    return message
