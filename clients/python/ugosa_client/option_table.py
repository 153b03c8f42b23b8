"""The options of a job that have plain values, as the server's table of options lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class OptionRow:
    """One option of a job."""

    name: str
    """Its field of JobOptions in the API."""
    field: str
    """Its field of JobOptions of this package."""
    kind: str
    """Kind of its value: "word", "integer", "number", "switch", or "names" for a tuple of words."""
    flag: str
    """Name on the command line."""
    metavar: str
    choices: tuple[str, ...]
    """All words that it can be; empty = any."""
    help: str
    """Meaning, range, and the paper's value."""


@cache
def option_table() -> tuple[OptionRow, ...]:
    """Return the rows of option_table.json, which is generated from the server's table."""
    rows = json.loads(Path(__file__).with_name("option_table.json").read_text(encoding="utf-8"))
    return tuple(OptionRow(**{**row, "choices": tuple(row["choices"])}) for row in rows)
