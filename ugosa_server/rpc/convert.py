"""Conversion between the wire and the domain. Only the files of this package know both.

Most messages are made of a domain object field by field (`message_of`), and a job's options by the table of
options; what is written out here is where the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from ugosa_server.adaptation import AdaptationOptions, Verdict
from ugosa_server.audio import PcmEncoding, RawPcm
from ugosa_server.errors import BadOptionError, BadRegionError
from ugosa_server.jobs import JobArray, JobOptions
from ugosa_server.jobs.events import JobEvent, JobState, StateChanged
from ugosa_server.jobs.model import Job, Upload, UploadFormat
from ugosa_server.jobs.option_table import OPTIONS, options_of
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.runs import RunBaseStems, RunNotice, RunPreview, RunProgress, StemFile
from ugosa_server.marks import Finding, Mark, MarkState
from ugosa_server.marks.players import PlayerBox, PlayerPicture, VideoSource, VisualFrame
from ugosa_server.separation import SeparationOptions
from ugosa_server.wire.ugosa.v1 import (
    audio_pb2,
    job_array_service_pb2,
    job_pb2,
    marks_pb2,
    marks_service_pb2,
    upload_service_pb2,
)

MAX_FILE_NAME_CHARS = 255
MAX_MARKS = 20_000  # a song of an hour has some hundreds; each is work for everybody who waits
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

M = TypeVar("M", bound=Message)


def number_of(word: str, enum: Any) -> int:
    """Return the number of a word on the wire by the enum's descriptor: its name is the word in capitals."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    number: int = enum.values_by_name[prefix + word.upper().replace(" ", "_").replace("-", "_")].number
    return number


JOB_STATE_OF_WIRE = {number_of(word, job_pb2.JobState.DESCRIPTOR): word for word in JobState}
PCM_ENCODING_OF_WIRE = {number_of(word, audio_pb2.PcmEncoding.DESCRIPTOR): word for word in PcmEncoding}
MARK_STATE_OF_WIRE = {number_of(word, marks_pb2.MarkState.DESCRIPTOR): word for word in MarkState}
MARK_STATES: dict[MarkState, Any] = {state: wire for wire, state in MARK_STATE_OF_WIRE.items()}
OPTION_FIELDS = job_pb2.JobOptions.DESCRIPTOR.fields_by_name
WORDS_OF_OPTIONS = {
    option.name: {number_of(word, enum): word for word in option.choices}
    for option in OPTIONS
    if (enum := OPTION_FIELDS[option.name].enum_type) is not None
}


def message_of(kind: type[M], value: object, /, **others: Any) -> M:
    """Return the message of a domain object, every field from the attribute of its name.

    Words become numbers of enums, and other objects messages of their own; `create_time` is made of
    `create_time_s`, and `held_back_seconds` of `held_back_s`. None leaves a field unset. `others` are the
    fields of which the object has no such attribute.
    """
    fields = {field.name: field for field in kind.DESCRIPTOR.fields if field.name not in others}
    values = {name: _value_of(field, getattr(value, _attribute(name))) for name, field in fields.items()}
    return kind(**values, **others)


def _attribute(field_name: str) -> str:
    if field_name.endswith("_time"):
        return f"{field_name}_s"
    return f"{field_name.removesuffix('_seconds')}_s" if field_name.endswith("_seconds") else field_name


def _value_of(field: Any, value: Any) -> Any:
    if value is None:
        return None
    if field.enum_type is not None:
        return number_of(value, field.enum_type)
    if field.message_type is None:
        return value
    if field.message_type is Timestamp.DESCRIPTOR:
        return timestamp(value)
    kind = GetMessageClass(field.message_type)
    return [message_of(kind, item) for item in value] if field.is_repeated else message_of(kind, value)


def timestamp(time_s: float) -> Timestamp:
    """Return the wire form of a Unix time."""
    message = Timestamp()
    message.FromNanoseconds(round(time_s * 1e9))
    return message


def upload_format_from_wire(message: audio_pb2.AudioFormat) -> UploadFormat:
    """Return the domain form of a format.

    Raises:
        BadOptionError: no format is set, or raw samples without their encoding.
    """
    kind = message.WhichOneof("format")
    if kind is None:
        raise BadOptionError(
            "format must be set: `pcm` for raw samples, `encoded` for the bytes of a file, `video` for a"
            " video, `adapter` for an adapter"
        )
    if kind == "pcm":
        if message.pcm.encoding not in PCM_ENCODING_OF_WIRE:
            raise BadOptionError("format.pcm.encoding must be S16LE, S24LE or F32LE")
        encoding = PCM_ENCODING_OF_WIRE[message.pcm.encoding]
        return UploadFormat(RawPcm(encoding, message.pcm.sample_rate_hz, message.pcm.channels))
    name = "".join(char for char in getattr(message, kind).file_name if char.isprintable())
    return UploadFormat(
        file_name=name[-MAX_FILE_NAME_CHARS:], is_video=kind == "video", is_adapter=kind == "adapter"
    )


def upload_format_to_wire(upload_format: UploadFormat) -> audio_pb2.AudioFormat:
    """Return the wire form of a format."""
    if upload_format.pcm is not None:
        return audio_pb2.AudioFormat(pcm=message_of(audio_pb2.PcmFormat, upload_format.pcm))
    if upload_format.is_video:
        return audio_pb2.AudioFormat(video=message_of(audio_pb2.VideoFormat, upload_format))
    if upload_format.is_adapter:
        return audio_pb2.AudioFormat(adapter=message_of(audio_pb2.AdapterFormat, upload_format))
    return audio_pb2.AudioFormat(encoded=message_of(audio_pb2.EncodedFormat, upload_format))


def upload_to_wire(upload: Upload) -> upload_service_pb2.Upload:
    """Return the wire form of an upload."""
    return message_of(upload_service_pb2.Upload, upload, format=upload_format_to_wire(upload.format))


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
    """Return the wire form of marks: written out, as `message_of` takes four times as long for many."""
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
    start_frame, end_frame = finding.span or (None, None)
    return message_of(marks_service_pb2.Finding, finding, start_frame=start_frame, end_frame=end_frame)


def job_to_wire(job: Job) -> job_pb2.Job:
    """Return the wire form of a job."""
    result = job.result
    return message_of(
        job_pb2.Job,
        job,
        options=options_to_wire(job.options),
        marks=marks_to_wire(job.marks),
        stems=[_stem_to_wire(stem, job) for stem in result.stems] if result else [],
        kind=number_of(job.options.kind, job_pb2.JobKind.DESCRIPTOR),
        verdict=verdict_to_wire(result.verdict) if result and result.verdict else None,
        base_stems=[_stem_to_wire(stem, job) for stem in job.base_stems],
        adapter=message_of(job_pb2.Adapter, result.adapter) if result and result.adapter else None,
        song_sha256=job.upload_sha256,
    )


def _stem_to_wire(stem: StemFile, job: Job) -> job_pb2.Stem:
    return message_of(
        job_pb2.Stem,
        stem,
        encoding=number_of(job.options.stem_encoding, job_pb2.StemEncoding.DESCRIPTOR),
        sample_rate_hz=job.audio.sample_rate_hz,
        channels=job.audio.channels,
    )


def verdict_to_wire(verdict: Verdict) -> job_pb2.Verdict:
    """Return the wire form of a verdict."""
    return message_of(job_pb2.Verdict, verdict, message=verdict.sentence)


def array_to_wire(array: JobArray) -> job_array_service_pb2.JobArray:
    """Return the wire form of a job array."""
    states = job_pb2.JobState.DESCRIPTOR
    counts = [{"state": number_of(state, states), "jobs": jobs} for state, jobs in array.counts.items()]
    return message_of(job_array_service_pb2.JobArray, array, counts=counts)


def event_to_wire(event: JobEvent) -> job_pb2.JobEvent:
    """Return the wire form of an event."""
    message = job_pb2.JobEvent(
        job_id=event.job_id, seq=event.seq, attempt=event.attempt, time=timestamp(event.time_s)
    )
    match event.body:
        case StateChanged() as changed:
            message.state_changed.CopyFrom(message_of(job_pb2.JobStateChanged, changed))
        case RunProgress() as progress:
            eta_s = progress.eta_s if progress.eta_s is not None and math.isfinite(progress.eta_s) else None
            message.progress.CopyFrom(message_of(job_pb2.JobProgress, progress, eta_seconds=eta_s))
        case RunNotice() as notice:
            level = job_pb2.NOTICE_LEVEL_WARNING if notice.warning else job_pb2.NOTICE_LEVEL_INFO
            message.notice.CopyFrom(message_of(job_pb2.JobNotice, notice, level=level))
        case RunBaseStems(stems):
            message.base_stems.CopyFrom(job_pb2.JobBaseStems(sources=[stem.source for stem in stems]))
        case RunPreview(stems) as preview:
            sources = [stem.source for stem in stems]
            message.preview.CopyFrom(message_of(job_pb2.JobPreview, preview, sources=sources))
    return message


def options_from_wire(message: job_pb2.JobOptions) -> JobOptionsRequest:
    """Return the options that a client states; fields it leaves out are absent.

    Raises:
        BadOptionError: the stem encoding or the kind of masks is not one that this server knows.
    """
    others = _stated(message, JobOptions)
    return JobOptionsRequest(
        model=others.pop("model", None),
        preset=others.pop("preset", None),
        others=others,
        adaptation=_stated(message, AdaptationOptions),
        separation=_stated(message, SeparationOptions),
        instruments=tuple(message.instruments),
        stems=tuple(message.stems),
        visual_frames=tuple(
            VisualFrame(seen.player, seen.frame, seen.features) for seen in message.visual_frames
        ),
        pictures=tuple(PlayerPicture(shown.player, shown.frame, shown.jpeg) for shown in message.pictures),
        video=_video_from_wire(message.video) if message.HasField("video") else None,
    )


def _stated(message: job_pb2.JobOptions, owner: type) -> dict[str, Any]:
    """Return the values that a client states of the options of an owner, by field."""
    values = {}
    for option in options_of(owner):
        if option.kind != "names" and message.HasField(option.name):
            value = getattr(message, option.name)
            words = WORDS_OF_OPTIONS.get(option.name)
            if words and value not in words:
                raise BadOptionError(
                    f"{option.name} has the number {value} of this protocol, but must be {option.range_text}"
                )
            values[option.owner_field] = words[value] if words else value
    return values


def _video_from_wire(message: job_pb2.VideoSource) -> VideoSource:
    return VideoSource(
        message.upload_id,
        tuple(PlayerBox(box.left, box.top, box.width, box.height) for box in message.players),
        message.every_seconds,
        message.start_frame,
    )


def options_to_wire(options: JobOptions) -> job_pb2.JobOptions:
    """Return options with every field set (but the preset and hop that a job does not have)."""
    video = options.video
    values: dict[str, Any] = {"instruments": options.instruments, "stems": options.stems}
    if video is not None:
        values["video"] = message_of(job_pb2.VideoSource, video, every_seconds=video.interval_s)
    for part in (options, options.adaptation, options.separation):
        for option in options_of(type(part)):
            value = getattr(part, option.owner_field)
            if option.kind != "names" and value != "":
                values[option.name] = _value_of(OPTION_FIELDS[option.name], value)
    return job_pb2.JobOptions(**values)


def checked_page_size(page_size: int) -> int:
    """Return the number of items of a page; 0 of a client = the default.

    Raises:
        BadOptionError: it is negative or too large.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise BadOptionError(f"page_size is {page_size}, but must be at most {MAX_PAGE_SIZE}")
    return page_size or DEFAULT_PAGE_SIZE
