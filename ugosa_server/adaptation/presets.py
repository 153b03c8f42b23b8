"""Options of one adaptation, and named sets of them.

Free of torch; jobs/option_table.py has the ranges.

An option is taken, in this order, from what the user says, from the preset, from the model's own defaults
(which its checkpoint may state), and from the paper. The preset "paper" leaves the model's defaults out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ugosa_server.errors import BadOptionError, did_you_mean


@dataclass(frozen=True)
class AdaptationOptions:
    """Options of fine-tuning to a song; the defaults are the paper's (Cantisani et al. 2021)."""

    strategy: str = "P-L3:D"
    """Trained parameters, in the paper's names: `P-` and `R-` with the marks, `B-` without, `B0` none."""
    silence_weight: float = 1.0
    """lambda of Eq. 2, on a *sum* over sources; >= 0.

    The authors' code takes a mean: its 1 is 1/S here.
    """
    learning_rate: float = 1e-5
    """Learning rate of Ranger; > 0."""
    epochs: int = 10
    """Passes over the song; >= 0."""
    segment_s: float = 4.0
    """Length of a training segment in seconds; > 0."""
    hop_s: float | None = None
    """Distance between starts of segments in seconds; None = segment_s (consecutive segments)."""
    batch_size: int = 1
    """Segments a step; >= 1."""
    pitch_shifts: int = 0
    """Pitch-shifted observations of every segment, besides the segment itself; >= 0."""
    remix_weight: float = 1.0
    """Weight of the remixes in `R-`; >= 0."""
    marks_weight: float = 0.0
    """Weight of Eq. 2 in `R-`, on segments that every epoch visits besides its remixes; 0 = on none."""
    max_steps: int = 0
    """Steps of the optimiser after which it ends, within an epoch too; 0 = those of all epochs."""
    max_s: float = 0.0
    """Seconds of wall time for the whole run, in which it ends with stems if it can; 0 = no limit."""
    guard: bool = True
    """Whether marked silence is held back, and the epoch kept that is best on it."""
    calibration: bool = True
    """Whether `R-` ends with a calibration of the masks; without a Wiener filter there is none."""


OptionValues = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class Preset:
    """A named set of defaults."""

    uses_model_defaults: bool
    """True if options that it leaves open come from the model first, not from the paper."""
    changes: OptionValues
    averages_silence: bool = False
    """True if its silence_weight is for a mean over sources, so that lambda is 1/S of it."""


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(uses_model_defaults=False, changes={"guard": False}),
    # What the authors published with the paper. (Its theta of 0.01 belongs to annotation, not to adaptation.)
    "authors-code": Preset(
        uses_model_defaults=False,
        changes={
            "strategy": "P-L3:M",
            "silence_weight": 1.0,
            "segment_s": 10.0,
            "hop_s": 1.0,
            "pitch_shifts": 3,
            "guard": False,
        },
        averages_silence=True,
    ),
    # For the Conditioned U-Net, whose own default is no adaptation.
    "film-only": Preset(uses_model_defaults=True, changes={"strategy": "P-L5:D", "learning_rate": 1e-4}),
    "low-rate": Preset(uses_model_defaults=True, changes={"strategy": "P-L2:D", "learning_rate": 1e-6}),
}


def resolve_options(
    preset: str | None = None,
    model_defaults: OptionValues | None = None,
    chosen: OptionValues | None = None,
    n_sources: int = 4,
) -> AdaptationOptions:
    """Fill in every option that was not chosen. The result is not validated yet.

    Args:
        preset: name of a preset; None = the model's own defaults, else the paper's.
        model_defaults: options that the checkpoint states, by field name of `AdaptationOptions`.
        chosen: options that the user states, by field name.
        n_sources: S, of the model.

    Raises:
        BadOptionError: an unknown preset, or an unknown field.
    """
    if preset == "fast":  # of earlier clients
        raise BadOptionError("the preset 'fast' is no more; give the time instead: max_seconds, or --for 60s")
    if preset is not None and preset not in PRESETS:
        hint = did_you_mean(preset, PRESETS) or f"presets are {', '.join(PRESETS)}"
        raise BadOptionError(f"there is no preset {preset!r}; {hint}")
    rules = PRESETS[preset] if preset is not None else Preset(uses_model_defaults=True, changes={})
    changes = dict(rules.changes)
    if rules.averages_silence:
        changes["silence_weight"] = AdaptationOptions(**changes).silence_weight / n_sources  # type: ignore[arg-type]
    values = {**((model_defaults or {}) if rules.uses_model_defaults else {}), **changes, **(chosen or {})}
    known = {field.name for field in dataclasses.fields(AdaptationOptions)}
    for name in values:
        if name not in known:
            raise BadOptionError(
                f"there is no adaptation option {name!r}; options are {', '.join(sorted(known))}"
            )
    return AdaptationOptions(**values)  # type: ignore[arg-type]


def uses_model_defaults(preset: str | None) -> bool:
    """Return whether options that a preset, or None, leaves open come from the model first."""
    return preset is None or PRESETS[preset].uses_model_defaults
