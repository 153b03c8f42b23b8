"""A value of the database is of the type that its column has, or damaged; none is made to fit."""

import apsw
import pytest

from ugosa_server.errors import StoreDamagedError
from ugosa_server.jobs.store.rows import Database


@pytest.mark.parametrize(
    ("value", "value_type"),
    [
        ("5", int),
        ("x", int),
        (5.0, int),
        (None, int),
        ("0.5", float),
        ("null", float | None),
        (5, str),
        (b"5", str),
    ],
)
def test_a_value_of_another_type_is_damage(value, value_type):
    database = Database(apsw.Connection(":memory:"))
    for read in (
        lambda: database.row(tuple[value_type], "SELECT ?", (value,)),
        lambda: database.value(value_type, "SELECT ?", (value,)),
    ):
        with pytest.raises(StoreDamagedError, match="a row of the server's database is damaged"):
            read()
