"""The one table of a job's options: their names, ranges, choices and meanings.

The checks of values and their messages follow from it, both directions of `rpc/convert.py`, "options used" in
the report, the flags of `ugosa separate`, and docs/options.md.

To add an option: add a row here and a field of its `owner`, from which the code that obeys it reads it; add a
field of `JobOptions` in protos/ugosa/v1/job.proto and one in the client's resources.py; then run `make wire`.
Tests compare the table with the proto and with the client.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from ugosa_server.adaptation import PRESETS, AdaptationOptions
from ugosa_server.audio import StemEncoding
from ugosa_server.errors import BadOptionError
from ugosa_server.jobs.runs import BaseStems, JobOptions
from ugosa_server.models import MaskKind
from ugosa_server.separation import SeparationOptions

Kind = Literal["word", "integer", "number", "switch", "names", "message"]
OptionValue = str | int | float
PYTHON_TYPES: Mapping[Kind, type | tuple[type, ...]] = {
    "word": str,
    "integer": int,
    "number": (int, float),
    "switch": bool,
}


@dataclass(frozen=True)
class JobOption:
    """One option of a job."""

    name: str
    """Its field of JobOptions in the API; also its name in messages and in the report."""
    kind: Kind
    """Kind of its value: a switch is on or off, names are words, a message is a structure of its own
    in the API."""
    help: str
    owner: type[JobOptions | AdaptationOptions | SeparationOptions]
    """The dataclass whose field holds it, with the default of the paper."""
    field: str = ""
    """Field of `owner`; empty = `name`."""
    client_field: str = ""
    """Field of the client's JobOptions; empty = `field`, else `name`."""
    flag: str = ""
    """Flag of `ugosa separate`; empty = `--name` with dashes. The client makes those of messages itself."""
    metavar: str = "N"
    """Stands for the value in the help of the flag."""
    symbol: str = ""
    """The paper's name for it, which the report shows."""
    unit: str = ""
    """Unit of value, low and high."""
    low: float | None = None
    is_above_low: bool = False
    """Whether the value must lie above `low`, not at it."""
    high: float | None = None
    choices: tuple[str, ...] = ()
    """All values of a word that are known beforehand."""

    @property
    def owner_field(self) -> str:
        """Name of the field that holds it."""
        return self.field or self.name

    @property
    def default(self) -> Any:
        """Value where request, preset and model say nothing; None where a default has no fixed value."""
        return getattr(self.owner, self.owner_field, None)

    @property
    def range_text(self) -> str:
        """The permitted values, for people; empty = any."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None or self.high is None:
            return ""
        low, high = number_text(self.low), number_text(self.high)
        between = f"above {low}, at most {high}" if self.is_above_low else f"{low} to {high}"
        return f"{between} {self.unit}".rstrip()

    def check(self, value: OptionValue, high: float | None = None) -> None:
        """Check a value against the range or the choices.

        Args:
            value: of the option.
            high: largest value in this case, if that is less than the table's.

        Raises:
            BadOptionError: with the value, and what it must be.
        """
        label = f"{self.name} ({self.symbol})" if self.symbol else self.name
        if self.kind in PYTHON_TYPES and not isinstance(value, PYTHON_TYPES[self.kind]):  # of a model's file
            raise BadOptionError(f"{label} is {value!r}, but its kind of value is: {self.kind}")
        if self.choices and value not in self.choices:
            raise BadOptionError(f"{label} is {value!r}, but must be {', '.join(self.choices)}")
        if self.low is None or self.high is None or isinstance(value, str):
            return
        high = self.high if high is None else min(self.high, high)
        is_too_low = value <= self.low if self.is_above_low else value < self.low
        if not math.isfinite(value) or is_too_low or value > high:
            at_least = "above" if self.is_above_low else "at least"
            raise BadOptionError(
                f"{label} is {number_text(value)}, but must be {at_least} {number_text(self.low)}"
                f" and at most {number_text(high)}"
            )


_of_job = partial(JobOption, owner=JobOptions)
_of_adaptation = partial(JobOption, owner=AdaptationOptions)
_of_separation = partial(JobOption, owner=SeparationOptions)

# fmt: off
OPTIONS = (
    _of_job("model", "word", "separation network, see `ugosa models`", metavar="NAME"),
    _of_job("preset", "word", f"named set of defaults: {', '.join(PRESETS)}", metavar="NAME"),
    _of_adaptation("strategy", "word", metavar="NAME",
        help="layers that are fine-tuned: `P-` and `R-` with the marks, `B-` without, `L1` ... `L5` from"
             " which layer on, `:D`, `:M` or `:3` up to which; `B0` = none"),
    _of_adaptation("silence_weight", "number", flag="--lambda", metavar="X", symbol="lambda",
        low=0.0, high=1e6,  # the paper's sweep ends at 1e4
        help="weight of the silence term of Eq. 2, a sum over sources (the authors' code takes a mean: its"
             " 1 is 1/S here)"),
    _of_adaptation("learning_rate", "number", flag="--lr", metavar="X", low=0.0, is_above_low=True, high=1.0,
        help="learning rate of Ranger (RAdam with LookAhead)"),
    _of_adaptation("epochs", "integer", "passes over the song", low=0, high=1000),
    _of_adaptation("segment_seconds", "number", field="segment_s",
        flag="--segment", metavar="SECONDS", unit="s", low=0.05, high=60.0,  # memory grows with it
        help="length of a training segment"),
    _of_adaptation("hop_seconds", "number", field="hop_s", flag="--hop", metavar="SECONDS", unit="s",
        low=0.05, high=60.0,
        help="distance between starts of training segments, at most their length (else their length)"),
    _of_adaptation("batch_size", "integer", "segments of a training step", low=1, high=64),
    _of_adaptation("pitch_shifts", "integer", low=0, high=10,
        help="pitch-shifted copies of each segment to learn from"),
    _of_adaptation("remix_weight", "number", metavar="X", low=0.0, is_above_low=True, high=1e6,
        help="weight in `R-` of remixes: of stretches with known silence, to which estimates from"
             " elsewhere in the song are added"),
    _of_adaptation("marks_weight", "number", metavar="X", low=0.0, high=1e6,
        help="weight in `R-` of Eq. 2, for which every epoch also visits the segments as they are; 0 = none"),
    _of_adaptation("max_steps", "integer", flag="--steps", low=0, high=10_000_000,
        help="steps after which learning ends, within an epoch too (0: after all epochs)"),
    _of_adaptation("max_seconds", "number", field="max_s", flag="--for", metavar="SECONDS", unit="s",
        low=0.0, high=86_400.0,
        help="time for the whole job, stems included: learning ends early for it (0: no limit)"),
    _of_adaptation("guard", "switch", metavar="on|off",
        help="whether part of the marked silence is held back, and the epoch kept that is best on it, or"
             " the model as it is"),
    _of_adaptation("calibration", "switch", metavar="on|off",
        help="whether `R-` learns from the remixes, too, how loud each source is to be taken in every band;"
             " it needs the Wiener filter"),
    _of_job("start_from", "word", metavar="auto|none|JOB",
        help="start of learning: none = the model as it is, a job that has an adapter, or auto = your"
             " newest one of this song, model and strategy, unless silence that it learned is not marked"
             " any more"),
    _of_job("max_memory_bytes", "integer", flag="--memory", metavar="SIZE", low=0, high=2**50,
        help="memory that the worker may hold during the job on the CPU, such as 4GB: it goes on in"
             " smaller pieces where that is too little (0: as the server has it)"),
    _of_job("seed", "integer", "seed of every random choice", low=0, high=2**63 - 1),
    _of_separation("separation_segment_seconds", "number", field="segment_s",
        client_field="separation_segment_s", flag="--separation-segment", metavar="SECONDS", unit="s",
        low=0.05, high=60.0,  # memory grows with it
        help="length of a separation segment"),
    _of_separation("separation_overlap", "number", field="overlap", flag="--overlap", metavar="SHARE",
        low=0.0, high=0.95,  # the time that a separation takes grows with 1 / (1 - overlap)
        help="share of a separation segment that overlaps the next one"),
    _of_separation("separation_shifts", "integer", field="shifts", flag="--shifts", low=0, high=20,
        help="random time shifts averaged in separation"),
    _of_separation("wiener_exponent", "number", flag="--wiener", metavar="EXPONENT",
        low=0.0, high=2.0,  # the Wiener filter proper
        help="exponent of a generalised Wiener filter over the network's estimates: 1 = ratios of"
             " magnitudes, 2 = of powers, 0 = none"),
    _of_separation("mask_kind", "word", flag="--masks", metavar="KIND", choices=get_args(MaskKind),
        help="use of a model's masks, if it gives masks: as they are, all or nothing in each bin, or each bin"
             " shared out among the sources"),
    _of_job("instruments", "names", metavar="A,B,...",
        help="instruments of the model that play (else those that the marks name)"),
    _of_job("stems", "names", metavar="A,B,...",
        help="stems to give; the sum of all others is one more, `rest` (else each by itself)"),
    _of_job("stem_encoding", "word", flag="--format", metavar="FORMAT", choices=tuple(StemEncoding),
        help="file format of the stems"),
    _of_job("base_stems", "word", metavar="WHEN", choices=tuple(BaseStems),
        help="stems of the model as it is, under the marks, before fine-tuning begins: none, until the job"
             " ends, or kept beside the others, which takes twice the disk"),
    _of_job("preview_start_frame", "integer", low=0, high=2**63 - 1,
        help="first frame of a stretch that is separated again and again during fine-tuning"),
    _of_job("preview_end_frame", "integer", low=0, high=2**63 - 1,
        help="end of that stretch, exclusive, at most 15 s after its start (0: no previews)"),
    _of_job("excerpt", "switch", flag="--page", metavar="on|off",
        help="whether there is a page report.html, with a few seconds of every take (a batch makes none)"),
    _of_job("visual_frames", "message", flag="--video-features", metavar="FILE.npz",
        help="features of the players, for a model that is conditioned on video"),
    _of_job("pictures", "message", flag="--video-frames", metavar="DIR",
        help="pictures of the players, of which the server makes features"),
    _of_job("video", "message", flag="--video", metavar="FILE",
        help="video of the players, of which the server takes pictures"),
)
# fmt: on


def options_of(owner: type) -> list[JobOption]:
    """Return the rows whose values `owner` holds as plain values, in the order of the table."""
    return [option for option in OPTIONS if option.owner is owner and option.kind != "message"]


def check_values(options: object, highest: Mapping[str, float] | None = None) -> None:
    """Check every value of an owner against the table; None passes where it is the default.

    Args:
        options: JobOptions, AdaptationOptions or SeparationOptions.
        highest: largest value by option name, where this job permits less than the table.

    Raises:
        BadOptionError: with the option, its value, and what it must be.
    """
    for option in options_of(type(options)):
        value = getattr(options, option.owner_field)
        if value is not None or option.default is not None:
            option.check(value, (highest or {}).get(option.name))


def values_in_report(options: AdaptationOptions | SeparationOptions) -> dict[str, OptionValue]:
    """Return the values of an owner, by the names that the report shows."""
    return {
        option.symbol or option.name: getattr(options, option.owner_field)
        for option in options_of(type(options))
    }


def number_text(value: float) -> str:
    """Return a number as people write it: 10, 0.25, 1e-5; and a switch as on or off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, int) else f"{value:g}".replace("e+0", "e").replace("e-0", "e-")
