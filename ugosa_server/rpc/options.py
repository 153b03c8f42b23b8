"""Between a job's options on the wire and in the domain, both ways; for all else there is `convert.py`."""

from __future__ import annotations

from ugosa_server.audio.formats import StemEncoding
from ugosa_server.errors import BadOptionError
from ugosa_server.jobs.model import JobOptions
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.marks.players import PlayerBox, PlayerPicture, VideoSource, VisualFrame
from ugosa_server.models.config import MaskKind
from ugosa_server.wire.ugosa.v1 import job_pb2

STEM_ENCODINGS = {
    StemEncoding.WAV_FLOAT32: job_pb2.STEM_ENCODING_WAV_FLOAT32,
    StemEncoding.WAV_PCM24: job_pb2.STEM_ENCODING_WAV_PCM24,
    StemEncoding.FLAC_PCM24: job_pb2.STEM_ENCODING_FLAC_PCM24,
}
MASK_KINDS: dict[MaskKind, job_pb2.MaskKind] = {
    "soft": job_pb2.MASK_KIND_SOFT,
    "hard": job_pb2.MASK_KIND_HARD,
    "shared": job_pb2.MASK_KIND_SHARED,
}
MASK_KIND_OF_WIRE = {wire: kind for kind, wire in MASK_KINDS.items()}
STEM_ENCODING_OF_WIRE = {wire: encoding for encoding, wire in STEM_ENCODINGS.items()}

# Field of JobOptions on the wire -> field of AdaptationOptions.
ADAPTATION_FIELDS = {
    "strategy": "strategy",
    "silence_weight": "silence_weight",
    "learning_rate": "learning_rate",
    "epochs": "epochs",
    "segment_seconds": "segment_s",
    "hop_seconds": "hop_s",
    "batch_size": "batch_size",
    "pitch_shifts": "pitch_shifts",
}
# Field of JobOptions on the wire -> field of SeparationOptions.
SEPARATION_FIELDS = {
    "separation_segment_seconds": "segment_s",
    "separation_overlap": "overlap",
    "separation_shifts": "shifts",
    "wiener_exponent": "wiener_exponent",
}


def options_from_wire(message: job_pb2.JobOptions) -> JobOptionsRequest:
    """Return what a client says; fields it leaves out are absent.

    Raises:
        BadOptionError: the stem encoding or the kind of masks is not one that this server knows.
    """
    stem_encoding = None
    if message.HasField("stem_encoding"):
        if message.stem_encoding not in STEM_ENCODING_OF_WIRE:
            raise BadOptionError("stem_encoding must be WAV_FLOAT32, WAV_PCM24 or FLAC_PCM24")
        stem_encoding = STEM_ENCODING_OF_WIRE[message.stem_encoding]
    separation = _present_fields(message, SEPARATION_FIELDS)
    if message.HasField("mask_kind"):
        if message.mask_kind not in MASK_KIND_OF_WIRE:
            raise BadOptionError("mask_kind must be SOFT, HARD or SHARED")
        separation["mask_kind"] = MASK_KIND_OF_WIRE[message.mask_kind]
    return JobOptionsRequest(
        model=message.model if message.HasField("model") else None,
        preset=message.preset if message.HasField("preset") else None,
        adaptation=_present_fields(message, ADAPTATION_FIELDS),
        separation=separation,
        stem_encoding=stem_encoding,
        seed=message.seed if message.HasField("seed") else None,
        instruments=tuple(message.instruments),
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
        players=[
            job_pb2.PlayerBox(left=box.left, top=box.top, width=box.width, height=box.height)
            for box in video.players
        ],
        every_seconds=video.interval_s,
        start_frame=video.start_frame,
    )


def options_to_wire(options: JobOptions) -> job_pb2.JobOptions:
    """Return options with every field set (but the preset and hop that a job does not have)."""
    message = job_pb2.JobOptions(
        model=options.model,
        seed=options.seed,
        stem_encoding=STEM_ENCODINGS[options.stem_encoding],
        instruments=options.instruments,
        mask_kind=MASK_KINDS[options.separation.mask_kind],
        video=None if options.video is None else _video_to_wire(options.video),
    )
    if options.preset:
        message.preset = options.preset
    for fields, part in (
        (ADAPTATION_FIELDS, options.adaptation),
        (SEPARATION_FIELDS, options.separation),
    ):
        for wire_name, name in fields.items():
            value = getattr(part, name)
            if value is not None:
                setattr(message, wire_name, value)
    return message


def _present_fields(message: job_pb2.JobOptions, fields: dict[str, str]) -> dict[str, str | int | float]:
    return {name: getattr(message, wire) for wire, name in fields.items() if message.HasField(wire)}
