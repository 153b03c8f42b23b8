"""Rows of CSV with the numbers of their lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator


def csv_rows(
    text: str, delimiter: str = ",", *, skip_spaces: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line a row ends on, and its cells; lines may end as on any system.

    Raises:
        ValueError: what follows is no CSV, for example a cell of more than 128 KiB.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=skip_spaces)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
