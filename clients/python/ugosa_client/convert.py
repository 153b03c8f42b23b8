"""Conversion between protobuf messages and dataclasses; nothing else touches both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
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
from ugosa_client.marks.findings import Severity
from ugosa_client.option_table import option_table
from ugosa_client.resources import (
    ENUM_OPTIONS,
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
    PlayerBox,
    PlayerPicture,
    SourceVerdict,
    Stem,
    StemEncoding,
    Strategy,
    Upload,
    Verdict,
    VerdictOutcome,
    VideoInfo,
    VideoSource,
    VisualFrame,
)
from ugosa_client.wire.ugosa.v1 import job_pb2, marks_pb2, marks_service_pb2, upload_service_pb2

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Resource = TypeVar("Resource", bound=DataclassInstance)


def _words(words: type[StrEnum], enum: EnumTypeWrapper, prefix: str) -> dict[int, StrEnum]:
    """Return the word of each number on the wire, whose name is that of the word in capitals."""
    return {enum.Value(prefix + word.upper().replace(" ", "_").replace("-", "_")): word for word in words}


WORDS: dict[str, dict[int, StrEnum]] = {
    "JobState": _words(JobState, job_pb2.JobState, "JOB_STATE_"),
    "JobKind": _words(JobKind, job_pb2.JobKind, "JOB_KIND_")
    | {job_pb2.JOB_KIND_UNSPECIFIED: JobKind.SEPARATION},  # of a server that knows no other
    "JobPhase": _words(JobPhase, job_pb2.JobPhase, "JOB_PHASE_"),
    "StemEncoding": _words(StemEncoding, job_pb2.StemEncoding, "STEM_ENCODING_"),
    "MaskKind": _words(MaskKind, job_pb2.MaskKind, "MASK_KIND_"),
    "BaseStems": _words(BaseStems, job_pb2.BaseStems, "BASE_STEMS_"),
    "VerdictOutcome": _words(VerdictOutcome, job_pb2.VerdictOutcome, "VERDICT_OUTCOME_"),
    "MarkState": _words(MarkState, marks_pb2.MarkState, "MARK_STATE_"),
    "FindingSeverity": _words(Severity, marks_service_pb2.FindingSeverity, "FINDING_SEVERITY_"),
}
"""Words of the enums of the wire, by name and number."""
NESTED: dict[str, type[DataclassInstance]] = {
    kind.__name__: kind
    for kind in (
        *(Adapter, AudioInfo, LossTerms, Mark, PlayerBox, PlayerPicture, SourceVerdict, Stem, Strategy),
        *(Verdict, VideoInfo, VideoSource, VisualFrame),
    )
} | {"JobError": JobFailure}
"""Resources of messages within others, by the names of the messages."""
WIRE_NAMES = {row.field: row.name for row in option_table()} | {
    "failure": "error",
    "held_back_s": "held_back_seconds",
    "eta_s": "eta_seconds",
    "every_s": "every_seconds",
}
"""Names on the wire of fields, where they have others here."""
EVENTS: dict[str | None, type[JobEvent]] = {
    "state_changed": StateChanged,
    "progress": Progress,
    "notice": Notice,
    "base_stems": BaseStemsReady,
    "preview": PreviewReady,
}


def to_resource(kind: type[Resource], message: Message, **others: Any) -> Resource:
    """Make a resource of the fields of a message; those that are absent become None.

    Args:
        kind: the resource's class.
        message: has the fields, by the names of `WIRE_NAMES`.
        others: values of fields that the message does not have so.

    Raises:
        ServerError: the number of an enum is not of this version of the protocol.
    """
    on_wire = message.DESCRIPTOR.fields_by_name
    for field in fields(kind):
        name = WIRE_NAMES.get(field.name, field.name)
        if field.name not in others and name in on_wire:
            others[field.name] = _value(message, name)
    return kind(**others)


def _value(message: Message, name: str) -> Any:
    field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if field.has_presence and not message.HasField(name):
        return None
    return tuple(_of_wire(item, field) for item in value) if field.is_repeated else _of_wire(value, field)


def _of_wire(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        return to_word(field.enum_type.name, value)
    if isinstance(value, Timestamp):
        return value.ToDatetime(tzinfo=UTC)
    if isinstance(value, Message):
        return to_resource(NESTED[value.DESCRIPTOR.name], value)
    return value


def to_word(enum: str, number: int) -> Any:
    """Look up an enum number of the wire.

    Raises:
        ServerError: the number is not of this version of the protocol.
    """
    if number not in WORDS[enum]:
        raise ServerError(
            f"the server sent {enum} {number}, which this client does not know; upgrade ugosa-client"
        )
    return WORDS[enum][number]


def _number(kind: type[StrEnum], word: str) -> Any:
    """Look up the enum number of a word; ValueError if it is none of that kind."""
    numbers = {known: number for number, known in WORDS[kind.__name__].items()}
    if word not in numbers:
        raise ValueError(f"it is one of {', '.join(kind)}")
    return numbers[kind(word)]


def from_states(states: Iterable[JobState]) -> list[Any]:
    """Convert states of jobs.

    Raises:
        BadInputError: there is no such state.
    """
    with _fits(BadInputError, f"a state among {states!r} is unknown"):
        return [_number(JobState, state) for state in states]


def to_upload(message: upload_service_pb2.Upload) -> Upload:
    """Convert Upload."""
    encoding = message.format
    return to_resource(
        Upload,
        message,
        complete=message.state == upload_service_pb2.UPLOAD_STATE_COMPLETE,
        file_name=encoding.encoded.file_name or encoding.video.file_name or encoding.adapter.file_name,
    )


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
            visual_frames=[job_pb2.VisualFrame(**asdict(seen)) for seen in options.visual_frames],
            pictures=[job_pb2.PlayerPicture(**asdict(shown)) for shown in options.pictures],
            video=None if options.video is None else _from_video(options.video),
        )
    for row in option_table():
        value = getattr(options, row.field)
        if value is not None and row.kind != "names":
            with _fits(BadOptionError, f"the option {row.field} cannot be {value!r}"):
                kind = ENUM_OPTIONS.get(row.field)
                setattr(message, row.name, _number(kind, value) if kind else value)
    return message


def _from_video(video: VideoSource) -> job_pb2.VideoSource:
    return job_pb2.VideoSource(
        upload_id=video.upload_id,
        players=[job_pb2.PlayerBox(**asdict(box)) for box in video.players],
        every_seconds=video.every_s,
        start_frame=video.start_frame,
    )


def to_marks(message: marks_pb2.Marks) -> tuple[Mark, ...]:
    """Convert Marks."""
    return tuple(to_resource(Mark, mark) for mark in message.marks)


def from_marks(marks: Iterable[Mark]) -> marks_pb2.Marks:
    """Convert Marks.

    Raises:
        BadRegionError: one is none, or does not fit the protocol.
    """
    message = marks_pb2.Marks()
    for mark in marks:
        if not isinstance(mark, Mark):
            raise BadRegionError(
                f"{mark!r} is no mark in frames; write Mark.silent(...).at_rate(upload.audio.sample_rate_hz)"
            )
        with _fits(BadRegionError, f"{mark} cannot be sent"):
            message.marks.add(
                source=mark.source,
                state=_number(MarkState, mark.state),
                start_frame=mark.start_frame,
                end_frame=mark.end_frame,
            )
    return message


def to_job(message: job_pb2.Job) -> Job:
    """Convert Job."""
    return to_resource(
        Job,
        message,
        options=to_resource(JobOptions, message.options),
        marks=to_marks(message.marks),
        base_stems=tuple(to_resource(Stem, stem, is_base=True) for stem in message.base_stems),
    )


def to_event(message: job_pb2.JobEvent) -> JobEvent:
    """Convert JobEvent to the class of its content."""
    kind = message.WhichOneof("event")
    if kind not in EVENTS:
        raise ServerError(
            f"event {message.seq} of job {message.job_id} is of the unknown kind {kind}; upgrade ugosa-client"
        )
    others: dict[str, Any] = {"job_id": message.job_id, "seq": message.seq, "attempt": message.attempt}
    others["time"] = message.time.ToDatetime(tzinfo=UTC) if message.HasField("time") else None
    if kind == "notice":
        others["warning"] = message.notice.level == job_pb2.NOTICE_LEVEL_WARNING
    return to_resource(EVENTS[kind], getattr(message, str(kind)), **others)
