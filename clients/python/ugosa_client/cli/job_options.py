"""Command-line options that become JobOptions."""

from __future__ import annotations

import argparse
import re
from typing import Any

from ugosa_client.marks.regions import parse_time
from ugosa_client.option_table import OptionRow, option_table
from ugosa_client.resources import ENUM_OPTIONS, JobOptions
from ugosa_client.stem_files import PLAIN, LossyFormat, StemFiles

LOSSY_HELP = "; mp3 and ogg are lossy: such stems do not add up to the mix exactly"
MINUTES = re.compile(r"(\d+(?:\.\d+)?) ?m(?:in)?", re.IGNORECASE)
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?((?:[KMGT]i?)?B?)", re.IGNORECASE)
UNITS: dict[str, int] = {"": 1, "b": 1} | {
    letter + unit: base**power
    for power, letter in enumerate("kmgt", start=1)
    for unit, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}


def add_job_options(parser: argparse.ArgumentParser, *, start_help: str = "") -> None:
    """Add one option per row of the table; what is not given is left to the preset and the model."""
    group = parser.add_argument_group("how the job is done (default: the server's)")
    more_help = {"stem_encoding": LOSSY_HELP, "start_from": start_help}
    for row in option_table():
        group.add_argument(
            row.flag,
            dest=row.field,
            type=_type(row),
            default=() if row.kind == "names" else None,
            choices=(*row.choices, *more_formats(row)) or None,
            metavar=row.metavar,
            help=row.help.replace("%", "%%") + more_help.get(row.field, ""),
        )
        if row.kind == "switch":  # --no-page is --page off
            group.add_argument(
                f"--no-{row.flag.removeprefix('--')}",
                dest=row.field,
                action="store_const",
                const=False,
                help=argparse.SUPPRESS,
            )


def more_formats(row: OptionRow) -> tuple[str, ...]:
    """Return the formats of stems that the client makes, for the row of formats."""
    return tuple(one.value for one in LossyFormat) if row.field == "stem_encoding" else ()


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the pattern of the stems' file names."""
    parser.add_argument(
        "--name",
        default=PLAIN.name,
        metavar="PATTERN",
        help="file names of the stems, for example '{song} - {stem}' (default: {stem})",
    )


def add_lossy_format(parser: argparse.ArgumentParser) -> None:
    """Add the formats that the client makes of stems as they are fetched."""
    parser.add_argument(
        "--format",
        dest="stem_encoding",
        choices=[one.value for one in LossyFormat],
        metavar="FORMAT",
        help="mp3 or ogg, both lossy (default: as the job made them)",
    )


def stem_files(arguments: argparse.Namespace) -> StemFiles:
    """Return the rule for the stems' files of parsed arguments.

    Raises:
        BadInputError: the pattern of names cannot be used.
    """
    encoding = getattr(arguments, "stem_encoding", None)
    return StemFiles(arguments.name, LossyFormat(encoding) if encoding in tuple(LossyFormat) else None)


def job_options(arguments: argparse.Namespace) -> JobOptions:
    """Return the JobOptions of parsed arguments."""
    values: dict[str, Any] = {row.field: getattr(arguments, row.field) for row in option_table()}
    if values["stem_encoding"] in tuple(LossyFormat):
        values["stem_encoding"] = None  # the client makes it of what the server gives
    for field, enum in ENUM_OPTIONS.items():
        values[field] = enum(values[field]) if values[field] else None
    return JobOptions(**values)


def _type(row: OptionRow) -> Any:
    if row.metavar == "SECONDS":
        return seconds
    if row.metavar == "SIZE":
        return size
    return {"word": str, "integer": int, "number": float, "switch": _switch, "names": _names}[row.kind]


def seconds(text: str) -> float:
    """Read a time such as 60, 60s, 5m or 1:30."""
    try:
        if minutes := MINUTES.fullmatch(text.strip()):
            return 60 * float(minutes[1])
        return float(parse_time(text.strip().removesuffix("s")).value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text} is longer than any song") from None


def size(text: str) -> int:
    """Read a number of bytes such as 4GB, 512 MB, 4GiB or 4000000000."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 4GB or 512MB")
    number = float(match[1]) * UNITS[str(match[2]).casefold()]
    if number >= 2**63:
        raise argparse.ArgumentTypeError(f"{text} is more than any machine has")
    return round(number)


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off")
    return text == "on"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
