"""Command-line options that become JobOptions."""

from __future__ import annotations

import argparse
from typing import Any

from ugosa_client.option_table import OptionRow, option_table
from ugosa_client.resources import JobOptions, MaskKind, StemEncoding

ENUMS = {"mask_kind": MaskKind, "stem_encoding": StemEncoding}


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add one option per row of the table; what is not given is left to the preset and the model."""
    group = parser.add_argument_group("how the job is done (default: the server's)")
    for row in option_table():
        group.add_argument(
            row.flag,
            dest=row.field,
            type=_type(row),
            default=() if row.kind == "names" else None,
            choices=row.choices or None,
            metavar=row.metavar,
            help=row.help.replace("%", "%%"),
        )


def job_options(arguments: argparse.Namespace) -> JobOptions:
    """Return the JobOptions of parsed arguments."""
    values: dict[str, Any] = {row.field: getattr(arguments, row.field) for row in option_table()}
    for field, enum in ENUMS.items():
        values[field] = enum(values[field]) if values[field] else None
    return JobOptions(**values)


def _type(row: OptionRow) -> Any:
    return {"word": str, "integer": int, "number": float, "switch": _switch, "names": _names}[row.kind]


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off")
    return text == "on"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
