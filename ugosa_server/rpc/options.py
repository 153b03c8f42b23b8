"""Convert a job's options between wire and domain, by the table of options; `convert.py` has all else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ugosa_server.adaptation import AdaptationOptions
from ugosa_server.audio import StemEncoding
from ugosa_server.errors import BadOptionError
from ugosa_server.jobs import JobOptions
from ugosa_server.jobs.option_table import OPTIONS, JobOption, options_of
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.marks.players import PlayerBox, PlayerPicture, VideoSource, VisualFrame
from ugosa_server.separation import SeparationOptions
from ugosa_server.wire.ugosa.v1 import job_pb2


def _numbers(option: JobOption) -> dict[str, Any]:
    """Return the number of each choice on the wire, where its name is that of the choice in capitals."""
    enum = job_pb2.JobOptions.DESCRIPTOR.fields_by_name[option.name].enum_type
    assert enum is not None
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        word: enum.values_by_name[prefix + word.upper().replace("-", "_")].number for word in option.choices
    }


NUMBERS = {option.name: _numbers(option) for option in OPTIONS if option.choices}
WORDS = {name: {number: word for word, number in numbers.items()} for name, numbers in NUMBERS.items()}


def options_from_wire(message: job_pb2.JobOptions) -> JobOptionsRequest:
    """Return the options that a client states; fields it leaves out are absent.

    Raises:
        BadOptionError: the stem encoding or the kind of masks is not one that this server knows.
    """
    return JobOptionsRequest(
        **_stated(message, JobOptions),
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


def _video_from_wire(message: job_pb2.VideoSource) -> VideoSource:
    return VideoSource(
        message.upload_id,
        tuple(PlayerBox(box.left, box.top, box.width, box.height) for box in message.players),
        message.every_seconds,
        message.start_frame,
    )


def _video_to_wire(video: VideoSource) -> job_pb2.VideoSource:
    return job_pb2.VideoSource(
        upload_id=video.upload_id,
        players=[job_pb2.PlayerBox(**asdict(box)) for box in video.players],
        every_seconds=video.interval_s,
        start_frame=video.start_frame,
    )


def options_to_wire(options: JobOptions) -> job_pb2.JobOptions:
    """Return options with every field set (but the preset and hop that a job does not have)."""
    message = job_pb2.JobOptions(
        instruments=options.instruments,
        stems=options.stems,
        video=None if options.video is None else _video_to_wire(options.video),
    )
    for part in (options, options.adaptation, options.separation):
        for option in options_of(type(part)):
            value = getattr(part, option.owner_field)
            if option.kind != "names" and value not in (None, ""):
                setattr(message, option.name, NUMBERS[option.name][value] if option.choices else value)
    return message


def stem_encoding_to_wire(encoding: StemEncoding) -> job_pb2.StemEncoding:
    """Return the number of a stem encoding."""
    number: job_pb2.StemEncoding = NUMBERS["stem_encoding"][encoding]
    return number


def _stated(message: job_pb2.JobOptions, owner: type) -> dict[str, Any]:
    """Return the values that a client states of the options of an owner, by field."""
    values = {}
    for option in options_of(owner):
        if option.kind != "names" and message.HasField(option.name):
            value = getattr(message, option.name)
            if option.choices and value not in WORDS[option.name]:
                raise BadOptionError(
                    f"{option.name} has the number {value} of this protocol, but must be {option.range_text}"
                )
            values[option.owner_field] = WORDS[option.name][value] if option.choices else value
    return values
