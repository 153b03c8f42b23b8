"""Typed rows: the result of a SELECT, checked against the types that the caller states.

The tables are STRICT, so that a column holds values of its declared type; a mismatch is a mistake in the SQL,
or damage. Columns of JSON and of names for display are read as bytes: where a disk has changed them, that
costs their row and not the list that it stands in.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_type_hints

import apsw
import msgspec

from ugosa_server.errors import BadOptionError, NotFoundError, RequestIdConflictError, StoreDamagedError

R = TypeVar("R")
START_FROM = "coalesce(iif(json_valid(options), options ->> '$.start_from', ''), '')"
"""SQL of the job or upload whose adapter a job starts from; never NULL, whatever the row holds."""
Value = str | int | float | None
OWNED = {
    "uploads": ("upload_id", "upload", "; `ugosa songs` lists yours"),
    "jobs": ("job_id", "job", "; `ugosa jobs` lists yours"),
    "job_arrays": ("array_id", "job array", ""),
}
"""Column of the id, name in sentences, and advice, of what principals' requests make, by its table."""

# A transaction that begins by reading and then finds that another process has written in between could not go
# on; IMMEDIATE makes it wait at its start instead.
OUTERMOST = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
INNER = ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part")
"""Statements that begin, keep and undo a transaction."""

log = logging.getLogger(__name__)


class Database:
    """A connection whose rows are typed; to be used on one thread only."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def execute(self, sql: str, values: Sequence[Value] = ()) -> apsw.Cursor:
        """Run a statement."""
        return self.connection.execute(sql, values)

    def rows(self, row_type: type[R], sql: str, values: Sequence[Value] = ()) -> list[R]:
        """Return all rows of a statement as `row_type`: a NamedTuple of the columns, or a plain tuple."""
        return [_typed(row, row_type) for row in self.execute(sql, values)]

    def row(self, row_type: type[R], sql: str, values: Sequence[Value] = ()) -> R | None:
        """Return the first row of a statement, or None if there is none."""
        row = self.execute(sql, values).fetchone()
        return None if row is None else _typed(row, row_type)

    def value(self, value_type: type[R], sql: str, values: Sequence[Value] = ()) -> R:
        """Return the one value of a statement that always gives one row of one column, such as a count."""
        ((value,),) = self.execute(sql, values).fetchall()
        return _typed(value, value_type)

    def strings(self, sql: str, values: Sequence[Value] = ()) -> list[str]:
        """Return the one column of a statement, such as ids."""
        return [value for (value,) in self.rows(tuple[str], sql, values)]

    def find_request(self, table: str, principal: str, request_id: str, request_digest: str) -> str | None:
        """Return the id of the row of a table that this request made before, or None.

        A client makes up a request_id and may send its request again when it has not seen the answer. Each
        row keeps the request_id that made it and a digest of the request's content. Only in the transaction
        that makes the row does None mean that it can be made.

        Raises:
            RequestIdConflictError: the request_id belongs to another request.
        """
        id_column, name, _ = OWNED[table]
        row = self.row(
            tuple[str, str],
            f"SELECT {id_column}, request_digest FROM {table} WHERE principal = ? AND request_id = ?",
            (principal, request_id),
        )
        if row is None:
            return None
        known_id, known_digest = row
        if known_digest != request_digest:
            raise RequestIdConflictError(
                f"request_id {request_id!r} was used for a different {name}; use a new one"
            )
        return known_id

    def owned(self, row_type: type[R], table: str, columns: str, principal: str, row_id: str) -> R:
        """Return columns of a principal's row as `row_type`.

        Raises:
            NotFoundError: there is none of that id, or it is another principal's.
        """
        id_column, name, advice = OWNED[table]
        sql = f"SELECT {columns} FROM {table} WHERE {id_column} = ? AND principal = ?"
        row = self.row(row_type, sql, (row_id, principal))
        if row is None:
            raise NotFoundError(f"no {name} {row_id!r}{advice}", unknown=id_column)
        return row

    def insert(self, table: str, **columns: object) -> None:
        """Insert a row; what is neither text nor a number is written as JSON."""
        places = ", ".join("?" * len(columns))
        values = [_column(value) for value in columns.values()]
        self.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", values)

    def update(self, table: str, row_id: str, **columns: object) -> None:
        """Change columns of a row; what is neither text nor a number is written as JSON."""
        id_column, *_ = OWNED[table]
        changes = ", ".join(f"{name} = ?" for name in columns)
        values = [_column(value) for value in columns.values()]
        self.execute(f"UPDATE {table} SET {changes} WHERE {id_column} = ?", (*values, row_id))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block all or nothing; an inner transaction becomes part of the outer one.

        apsw's own `with connection` holds the interpreter's lock while it waits for another process that
        writes (`ugosa-server token`), and with it the whole server.
        """
        begin, commit, undo = INNER if self.connection.in_transaction else OUTERMOST
        self.execute(begin)
        try:
            yield
            self.execute(commit)
        except BaseException:
            # Where the disk is full or fails, SQLite itself undoes the outermost one
            # (sqlite.org/lang_transaction.html, 3.1).
            if self.connection.in_transaction:
                self.execute(undo)
            raise


class Table:
    """Rows of one kind in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database


class Record:
    """A dataclass whose fields are columns of a table, each by its name."""

    def __init__(self, kind: type, instead: Mapping[str, object], *, without: Collection[str] = ()) -> None:
        """Describe the columns.

        Args:
            kind: the dataclass; its first field is the id.
            instead: fields that are JSON, or names for display, and what stands in place of a damaged one.
            without: fields that are no columns.
        """
        self._name = kind.__name__.lower()
        self._instead = instead
        self._types = {name: type_ for name, type_ in get_type_hints(kind).items() if name not in without}

    def columns(self, **sql: str) -> str:
        """Return the columns for a SELECT; those named in `sql` are read as that says."""
        read = {name: sql.get(name, name) for name in self._types}
        return ", ".join(
            f"CAST({read[name]} AS BLOB)" if name in self._instead else read[name] for name in read
        )

    def values(self, row: Sequence[Any]) -> tuple[dict[str, Any], set[str]]:
        """Return the values of the fields in a row of `columns`, and the names of the damaged ones."""
        values: dict[str, Any] = {}
        damaged = set()
        for (name, value_type), value in zip(self._types.items(), row, strict=True):
            if value is None or name not in self._instead:
                values[name] = _typed(value, value_type)
            elif value_type is str:
                values[name] = value.decode(errors="replace")
            else:
                values[name] = from_json(value, value_type, f"{self._name} {row[0]}")
                if values[name] is None:
                    values[name] = self._instead[name]
                    damaged.add(name)
        return values, damaged


def _typed(value: object, value_type: type[R]) -> R:
    try:
        return msgspec.convert(value, value_type, strict=value_type is not bool)  # a switch is 0 or 1
    except msgspec.ValidationError as error:
        raise StoreDamagedError("a row of the server's database is damaged; others are not") from error


def from_json(data: bytes, value_type: type[R], row: str) -> R | None:
    """Decode a column of JSON; None where its bytes are damaged, which is logged as of `row`."""
    try:
        return msgspec.json.decode(data, type=value_type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        log.error("the row of %s is damaged", row)
        return None


def token_of_place(place: object) -> str:
    """Return the page token of the place after which the next page starts."""
    return msgspec.json.encode(place).decode()


def place_of_token(token: str, first: R, place_type: type[R]) -> R:
    """Return the place of a page token; `first` of an empty one.

    Raises:
        BadOptionError: it is not one that a list gave.
    """
    try:
        return msgspec.json.decode(token, type=place_type) if token else first
    except msgspec.DecodeError:
        raise BadOptionError(f"page_token {token!r} is not one that a list gave") from None


def _column(value: object) -> Value:
    if value is None or isinstance(value, str | int | float):
        return value
    return msgspec.json.encode(value).decode()
