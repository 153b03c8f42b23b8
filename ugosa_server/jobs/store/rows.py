"""Typed rows: the result of a SELECT, checked against the types that the caller states.

The tables are STRICT, so that a column holds values of its declared type; a mismatch is a mistake in the SQL
and raises msgspec.ValidationError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import apsw
import msgspec

R = TypeVar("R")
Value = str | int | float | None


def read_rows(
    connection: apsw.Connection, row_type: type[R], sql: str, values: Sequence[Value] = ()
) -> list[R]:
    """Return all rows of a statement as `row_type`: a NamedTuple of the columns, or a plain tuple type."""
    return [msgspec.convert(row, row_type) for row in connection.execute(sql, values)]


def read_row(
    connection: apsw.Connection, row_type: type[R], sql: str, values: Sequence[Value] = ()
) -> R | None:
    """Return the first row of a statement, or None if there is none."""
    row = connection.execute(sql, values).fetchone()
    return None if row is None else msgspec.convert(row, row_type)


def read_value(connection: apsw.Connection, value_type: type[R], sql: str, values: Sequence[Value] = ()) -> R:
    """Return the one value of a statement that always gives one row of one column, such as a count."""
    ((value,),) = connection.execute(sql, values).fetchall()
    return msgspec.convert(value, value_type)


def read_strings(connection: apsw.Connection, sql: str, values: Sequence[Value] = ()) -> list[str]:
    """Return the one column of a statement, such as ids."""
    return [value for (value,) in read_rows(connection, tuple[str], sql, values)]


def as_json(value: object) -> str:
    """Encode a value for a column that holds JSON."""
    return msgspec.json.encode(value).decode()
