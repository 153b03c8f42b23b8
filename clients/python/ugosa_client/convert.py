"""Conversion between protobuf messages and dataclasses; nothing else touches both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from ugosa_client.errors import BadInputError, BadOptionError, BadRegionError, ServerError
from ugosa_client.events import (
    BaseStemsReady,
    JobEvent,
    JobPhase,
    LossTerms,
    Notice,
    PreviewReady,
    Progress,
    StateChanged,
)
from ugosa_client.option_table import option_table
from ugosa_client.resources import (
    Adapter,
    AudioInfo,
    BaseStems,
    Job,
    JobFailure,
    JobKind,
    JobOptions,
    JobState,
    Mark,
    MarkState,
    MaskKind,
    Model,
    PlayerBox,
    SourceVerdict,
    Stem,
    StemEncoding,
    Strategy,
    Upload,
    Verdict,
    VerdictOutcome,
    VideoInfo,
    VideoSource,
)
from ugosa_client.wire.ugosa.v1 import (
    audio_pb2,
    job_pb2,
    marks_pb2,
    model_service_pb2,
    upload_service_pb2,
)

Word = TypeVar("Word", bound=StrEnum)

JOB_STATES = {
    job_pb2.JOB_STATE_QUEUED: JobState.QUEUED,
    job_pb2.JOB_STATE_RUNNING: JobState.RUNNING,
    job_pb2.JOB_STATE_CANCELLING: JobState.CANCELLING,
    job_pb2.JOB_STATE_SUCCEEDED: JobState.SUCCEEDED,
    job_pb2.JOB_STATE_FAILED: JobState.FAILED,
    job_pb2.JOB_STATE_CANCELLED: JobState.CANCELLED,
}
JOB_KINDS = {
    job_pb2.JOB_KIND_UNSPECIFIED: JobKind.SEPARATION,  # of a server that knows no other
    job_pb2.JOB_KIND_SEPARATION: JobKind.SEPARATION,
    job_pb2.JOB_KIND_LISTENING: JobKind.ANALYSIS,
}
JOB_PHASES = {
    job_pb2.JOB_PHASE_PREPARE: JobPhase.PREPARE,
    job_pb2.JOB_PHASE_BASE_SEPARATION: JobPhase.BASE_SEPARATION,
    job_pb2.JOB_PHASE_ADAPTATION: JobPhase.ADAPTATION,
    job_pb2.JOB_PHASE_SEPARATION: JobPhase.SEPARATION,
    job_pb2.JOB_PHASE_REPORT: JobPhase.REPORT,
}
STEM_ENCODINGS = {
    job_pb2.STEM_ENCODING_WAV_FLOAT32: StemEncoding.WAV_FLOAT32,
    job_pb2.STEM_ENCODING_WAV_PCM24: StemEncoding.WAV_PCM24,
    job_pb2.STEM_ENCODING_FLAC_PCM24: StemEncoding.FLAC_PCM24,
}
MASK_KINDS = {
    job_pb2.MASK_KIND_SOFT: MaskKind.SOFT,
    job_pb2.MASK_KIND_HARD: MaskKind.HARD,
    job_pb2.MASK_KIND_SHARED: MaskKind.SHARED,
}
BASE_STEMS = {
    job_pb2.BASE_STEMS_NONE: BaseStems.NONE,
    job_pb2.BASE_STEMS_EARLY: BaseStems.EARLY,
    job_pb2.BASE_STEMS_KEPT: BaseStems.KEPT,
}
OPTION_WORDS: dict[str, dict[Any, Any]] = {
    "stem_encoding": STEM_ENCODINGS,
    "mask_kind": MASK_KINDS,
    "base_stems": BASE_STEMS,
}
VERDICT_OUTCOMES = {
    job_pb2.VERDICT_OUTCOME_HELPED: VerdictOutcome.HELPED,
    job_pb2.VERDICT_OUTCOME_DID_NOT: VerdictOutcome.DID_NOT,
    job_pb2.VERDICT_OUTCOME_CANNOT_TELL: VerdictOutcome.CANNOT_TELL,
}
MARK_STATES = {
    marks_pb2.MARK_STATE_ACTIVE: MarkState.ACTIVE,
    marks_pb2.MARK_STATE_SILENT: MarkState.SILENT,
}
OPTION_FIELDS = {  # JobOptions here: JobOptions on the wire
    row.field: row.name for row in option_table() if row.kind != "names" and not row.choices
}


def to_word(table: dict[Any, Word], number: int) -> Word:
    """Look up an enum number of the wire.

    Raises:
        ServerError: the number is not of this version of the protocol.
    """
    if number not in table:
        name = type(next(iter(table.values()))).__name__
        raise ServerError(
            f"the server sent {name} {number}, which this client does not know; upgrade ugosa-client"
        )
    return table[number]


def to_number(table: dict[Any, Word], word: Word) -> Any:
    """Look up the enum number of a word."""
    return next(number for number, known in table.items() if known is word)


def to_time(message: Any, field: str) -> datetime | None:
    """Return a timestamp field as UTC; None if it is not set."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)


def to_audio_info(message: audio_pb2.AudioInfo) -> AudioInfo:
    """Convert AudioInfo."""
    return AudioInfo(
        sample_rate_hz=message.sample_rate_hz,
        channels=message.channels,
        frames=message.frames,
        encoding=message.encoding,
        peak=message.peak,
    )


def to_upload(message: upload_service_pb2.Upload) -> Upload:
    """Convert Upload."""
    return Upload(
        upload_id=message.upload_id,
        complete=message.state == upload_service_pb2.UPLOAD_STATE_COMPLETE,
        committed_size=message.committed_size,
        sha256=message.sha256,
        audio=to_audio_info(message.audio) if message.HasField("audio") else None,
        video=VideoInfo(message.video.width, message.video.height, message.video.encoding)
        if message.HasField("video")
        else None,
        file_name=message.format.encoded.file_name
        or message.format.video.file_name
        or message.format.adapter.file_name,
        create_time=to_time(message, "create_time"),
        stored_bytes=message.stored_bytes,
    )


def to_options(message: job_pb2.JobOptions) -> JobOptions:
    """Convert JobOptions; absent fields become None."""
    values: dict[str, Any] = {
        ours: getattr(message, theirs) for ours, theirs in OPTION_FIELDS.items() if message.HasField(theirs)
    }
    for name, words in OPTION_WORDS.items():
        if message.HasField(name):
            values[name] = to_word(words, getattr(message, name))
    values["instruments"] = tuple(message.instruments)
    values["stems"] = tuple(message.stems)
    if message.HasField("video"):
        values["video"] = VideoSource(
            message.video.upload_id,
            tuple(PlayerBox(box.left, box.top, box.width, box.height) for box in message.video.players),
            message.video.every_seconds,
            message.video.start_frame,
        )
    return JobOptions(**values)


@contextmanager
def _fits(kind: type[BadInputError], what: str) -> Iterator[None]:
    """Raise `kind` where a value is of a type or size that the protocol cannot carry."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise kind(f"{what}: {error}") from None


def from_options(options: JobOptions) -> job_pb2.JobOptions:
    """Convert JobOptions; None becomes absent.

    Raises:
        BadOptionError: a value does not fit the protocol.
    """
    with _fits(BadOptionError, "the video of the players"):
        message = job_pb2.JobOptions(
            instruments=options.instruments,
            stems=options.stems,
            visual_frames=[
                job_pb2.VisualFrame(player=seen.player, frame=seen.frame, features=seen.features)
                for seen in options.visual_frames
            ],
            pictures=[
                job_pb2.PlayerPicture(player=shown.player, frame=shown.frame, jpeg=shown.jpeg)
                for shown in options.pictures
            ],
            video=None if options.video is None else _from_video(options.video),
        )
    for ours, theirs in OPTION_FIELDS.items():
        value = getattr(options, ours)
        if value is not None:
            with _fits(BadOptionError, f"the option {ours} cannot be {value!r}"):
                setattr(message, theirs, value)
    for name, words in OPTION_WORDS.items():
        if (word := getattr(options, name)) is not None:
            setattr(message, name, to_number(words, word))
    return message


def _from_video(video: VideoSource) -> job_pb2.VideoSource:
    return job_pb2.VideoSource(
        upload_id=video.upload_id,
        players=[
            job_pb2.PlayerBox(left=box.left, top=box.top, width=box.width, height=box.height)
            for box in video.players
        ],
        every_seconds=video.every_s,
        start_frame=video.start_frame,
    )


def to_marks(message: marks_pb2.Marks) -> tuple[Mark, ...]:
    """Convert Marks."""
    return tuple(
        Mark(mark.source, to_word(MARK_STATES, mark.state), mark.start_frame, mark.end_frame)
        for mark in message.marks
    )


def from_marks(marks: Iterable[Mark]) -> marks_pb2.Marks:
    """Convert Marks.

    Raises:
        BadRegionError: a position does not fit the protocol.
    """
    message = marks_pb2.Marks()
    for mark in marks:
        with _fits(BadRegionError, f"{mark} cannot be sent"):
            message.marks.add(
                source=mark.source,
                state=to_number(MARK_STATES, mark.state),
                start_frame=mark.start_frame,
                end_frame=mark.end_frame,
            )
    return message


def to_failure(message: job_pb2.JobError) -> JobFailure:
    """Convert JobError."""
    return JobFailure(message.reason, message.message)


def to_stem(message: job_pb2.Stem, *, is_base: bool = False) -> Stem:
    """Convert Stem."""
    return Stem(
        source=message.source,
        encoding=to_word(STEM_ENCODINGS, message.encoding),
        sample_rate_hz=message.sample_rate_hz,
        channels=message.channels,
        frames=message.frames,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        is_base=is_base,
    )


def to_job(message: job_pb2.Job) -> Job:
    """Convert Job."""
    return Job(
        job_id=message.job_id,
        request_id=message.request_id,
        upload_id=message.upload_id,
        state=to_word(JOB_STATES, message.state),
        options=to_options(message.options),
        marks=to_marks(message.marks),
        attempt=message.attempt,
        queue_position=message.queue_position,
        fraction=message.fraction,
        last_seq=message.last_seq,
        create_time=to_time(message, "create_time"),
        start_time=to_time(message, "start_time"),
        end_time=to_time(message, "end_time"),
        failure=to_failure(message.error) if message.HasField("error") else None,
        stems=tuple(to_stem(stem) for stem in message.stems),
        audio=to_audio_info(message.audio) if message.HasField("audio") else None,
        file_name=message.file_name,
        kind=to_word(JOB_KINDS, message.kind),
        array_id=message.array_id,
        verdict=to_verdict(message.verdict) if message.HasField("verdict") else None,
        base_stems=tuple(to_stem(stem, is_base=True) for stem in message.base_stems),
        accepted=message.accepted,
        starred=message.starred,
        song_sha256=message.song_sha256,
        adapter=Adapter(message.adapter.size_bytes, message.adapter.sha256)
        if message.HasField("adapter")
        else None,
    )


def to_verdict(message: job_pb2.Verdict) -> Verdict:
    """Convert Verdict."""
    return Verdict(
        outcome=to_word(VERDICT_OUTCOMES, message.outcome),
        kept_epoch=message.kept_epoch,
        held_back_s=message.held_back_seconds,
        sources=tuple(
            SourceVerdict(row.source, row.held_back_seconds, row.before_dbfs, row.after_dbfs)
            for row in message.sources
        ),
        message=message.message,
        remixes_db=message.remixes_db if message.HasField("remixes_db") else None,
    )


def to_event(message: job_pb2.JobEvent) -> JobEvent:
    """Convert JobEvent to the class of its content."""
    job_id, seq, attempt, time = message.job_id, message.seq, message.attempt, to_time(message, "time")
    match message.WhichOneof("event"):
        case "state_changed":
            changed = message.state_changed
            return StateChanged(
                job_id,
                seq,
                attempt,
                time,
                state=to_word(JOB_STATES, changed.state),
                failure=to_failure(changed.error) if changed.HasField("error") else None,
            )
        case "progress":
            progress = message.progress
            loss = progress.loss if progress.HasField("loss") else None
            return Progress(
                job_id,
                seq,
                attempt,
                time,
                phase=to_word(JOB_PHASES, progress.phase),
                fraction=progress.fraction,
                eta_s=progress.eta_seconds if progress.HasField("eta_seconds") else None,
                step=progress.step,
                steps=progress.steps,
                epoch=progress.epoch,
                epochs=progress.epochs,
                loss=LossTerms(loss.total, loss.reconstruction, loss.silence) if loss is not None else None,
                held_back_db=progress.held_back_db if progress.HasField("held_back_db") else None,
            )
        case "notice":
            notice = message.notice
            return Notice(
                job_id,
                seq,
                attempt,
                time,
                reason=notice.reason,
                message=notice.message,
                warning=notice.level == job_pb2.NOTICE_LEVEL_WARNING,
            )
        case "base_stems":
            return BaseStemsReady(job_id, seq, attempt, time, sources=tuple(message.base_stems.sources))
        case "preview":
            preview = message.preview
            return PreviewReady(
                job_id,
                seq,
                attempt,
                time,
                sources=tuple(preview.sources),
                epoch=preview.epoch,
                step=preview.step,
                start_frame=preview.start_frame,
                end_frame=preview.end_frame,
            )
        case kind:
            raise ServerError(
                f"event {seq} of job {job_id} is of the unknown kind {kind}; upgrade ugosa-client"
            )


def to_model(message: model_service_pb2.Model) -> Model:
    """Convert Model."""
    return Model(
        name=message.name,
        architecture=message.architecture,
        description=message.description,
        sources=tuple(message.sources),
        sample_rate_hz=message.sample_rate_hz,
        audio_channels=message.audio_channels,
        parameters=message.parameters,
        sha256=message.sha256,
        strategies=tuple(Strategy(item.name, item.trainable_parameters) for item in message.strategies),
        is_default=message.is_default,
    )
