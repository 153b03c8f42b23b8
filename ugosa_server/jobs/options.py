"""Options of a job, resolved from request, preset, model and paper, and checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from ugosa_server.adaptation.presets import (
    AdaptationOptions,
    OptionValues,
    resolve_options,
    uses_model_defaults,
)
from ugosa_server.adaptation.strategies import parse_strategy, require_strategy_exists
from ugosa_server.errors import BadOptionError
from ugosa_server.jobs.option_table import check_values
from ugosa_server.jobs.runs import JobKind, JobOptions
from ugosa_server.marks import validate_instruments, validate_stems
from ugosa_server.marks.players import (
    PlayerPicture,
    VideoSource,
    VisualFrame,
    check_video,
    validate_pictures,
    validate_visual_frames,
)
from ugosa_server.models import ModelInfo, NetworkConfig
from ugosa_server.separation import SeparationOptions


@dataclass(frozen=True)
class JobOptionsRequest:
    """Options as a client states them, named as in JobOptions; those left out are None, empty or absent."""

    model: str | None = None
    preset: str | None = None
    adaptation: OptionValues = field(default_factory=dict)
    """By field name of AdaptationOptions."""
    separation: OptionValues = field(default_factory=dict)
    """By field name of SeparationOptions."""
    others: OptionValues = field(default_factory=dict)
    """Words, numbers and switches by field name of JobOptions."""
    kind: JobKind = JobKind.SEPARATION
    instruments: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()
    visual_frames: tuple[VisualFrame, ...] = ()
    pictures: tuple[PlayerPicture, ...] = ()
    video: VideoSource | None = None


def resolve_job_options(request: JobOptionsRequest, model: ModelInfo) -> JobOptions:
    """Return the options of a job with every choice made and checked.

    Raises:
        BadOptionError: an option is out of its range.
    """
    adaptation = resolve_options(
        request.preset, model.adaptation_defaults, request.adaptation, len(model.config.sources)
    )
    check_adaptation(adaptation, model.config)
    # A segment longer than the network takes at once would be cut again inside of it.
    segment_s = min(SeparationOptions.segment_s, model.config.max_segment_s)
    separation = _separation_options(request, model, segment_s)
    slots = _player_slots(request, model)
    if request.video is not None:
        check_video(request.video, slots)
    others = {name: value for name, value in request.others.items() if value != ""}
    options = JobOptions(
        model=model.name,
        kind=request.kind,
        preset=request.preset or "",
        adaptation=adaptation,
        separation=separation,
        instruments=validate_instruments(
            request.instruments, model.config.sources, model.config.stems, model.name
        ),
        stems=validate_stems(request.stems, model.config.stems, model.name),
        visual_frames=validate_visual_frames(request.visual_frames, slots),
        pictures=validate_pictures(request.pictures, slots),
        video=request.video,
        **others,  # type: ignore[arg-type]
    )
    check_values(options)
    return options


def _player_slots(request: JobOptionsRequest, model: ModelInfo) -> int:
    """Return how many players the model sees; what shows them comes one way, and to a model that sees."""
    shown = [name for name in ("visual_frames", "pictures", "video") if getattr(request, name)]
    if len(shown) > 1:
        raise BadOptionError("a job takes one of visual_frames, pictures and video, not several")
    if shown and model.config.video is None:
        raise BadOptionError(f"the model {model.name!r} is not conditioned on video; leave {shown[0]} out")
    return model.config.video.slots if model.config.video else 0


def check_adaptation(options: AdaptationOptions, config: NetworkConfig) -> None:
    """Check every option of an adaptation against the table and against the network's sizes.

    Raises:
        BadOptionError: an option is out of range; the message has its name, its value and the range.
    """
    check_values(options, {"segment_seconds": config.max_segment_s, "hop_seconds": options.segment_s})
    require_strategy_exists(parse_strategy(options.strategy), config)


def check_separation(options: SeparationOptions, *, has_masks: bool = True) -> None:
    """Check every option of a separation against the table; some need a network that has masks.

    Raises:
        BadOptionError: an option is out of range; the message has its name, its value and the range.
    """
    check_values(options)
    if options.mask_kind != "soft" and not has_masks:
        raise BadOptionError(
            f"mask_kind is {options.mask_kind}, but the model gives waveforms and has no masks; leave it "
            "out, or name a model of masks such as cunet-multiply"
        )


def _separation_options(request: JobOptionsRequest, model: ModelInfo, segment_s: float) -> SeparationOptions:
    stated = model.separation_defaults if uses_model_defaults(request.preset) else {}
    known = {field.name for field in dataclasses.fields(SeparationOptions)}
    if unknown := sorted(set(stated) - known):
        raise BadOptionError(
            f"the model {model.name} states separation options {', '.join(unknown)}, which do not exist"
        )
    options = dataclasses.replace(SeparationOptions(segment_s), **{**stated, **request.separation})  # type: ignore[arg-type]
    check_separation(options, has_masks=model.config.mask_grid is not None)
    return options
