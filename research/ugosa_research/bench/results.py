"""One measured number, and all of them as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured number."""

    name: str
    """Name of the measurement."""
    unit: str
    """Unit of all numbers in the row but `ratio`."""
    ours: float
    """The median of the rounds."""
    peer: float | None = None
    """The same work done by something plain, measured in the same run; `peer_name` says what."""
    peer_name: str | None = None
    """Description of the peer."""
    floor: float | None = None
    """Limit set by the hardware or a promise; `floor_name` says which."""
    floor_name: str | None = None
    """Description of the floor."""
    detail: str | None = None
    """Further remarks."""

    @property
    def of_floor(self) -> float | None:
        """Ours by the floor."""
        return self.ours / self.floor if self.floor else None

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's."""
        return self.ours / self.peer if self.peer else None


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write the rows into a JSON list, in the place of rows of the same names.

    What is not measured this time stays. What a row does not have is left out.
    """
    names = {row.name for row in rows}
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    new = [
        {
            key: value
            for key, value in (asdict(row) | {"ratio": row.ratio, "of_floor": row.of_floor}).items()
            if value is not None
        }
        for row in rows
    ]
    objects = [*(kept for kept in before if kept["name"] not in names), *new]
    path.write_text(json.dumps(objects, indent=2) + "\n", encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text for a terminal."""
    lines = [("what", "ours", "unit", "peer", "ratio", "floor", "of it", "")]
    for row in rows:
        notes = [
            f"{column}: {name}"
            for column, name in (("peer", row.peer_name), ("floor", row.floor_name))
            if name
        ]
        notes += [row.detail] if row.detail else []
        numbers = (row.ours, row.peer, row.ratio, row.floor)
        ours, peer, ratio, floor = ["" if n is None else f"{n:.4g}" for n in numbers]
        of_floor = "" if row.of_floor is None else f"{row.of_floor:.0%}"
        lines.append((row.name, ours, row.unit, peer, ratio, floor, of_floor, "; ".join(notes)))
    widths = [max(len(line[column]) for line in lines) for column in range(8)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 2, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
