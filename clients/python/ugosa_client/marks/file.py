"""Marks files in and out: the content tells the format, times become frames once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ugosa_client.errors import MarksFileError, reason_of
from ugosa_client.marks.examination import examine_regions
from ugosa_client.marks.findings import Severity
from ugosa_client.marks.formats import FORMATS, MarksFormat, format_of_bytes, format_of_name
from ugosa_client.marks.labels import find_source
from ugosa_client.marks.regions import Position, Region, regions_in_stretch
from ugosa_client.marks.text import decode_text, one_line
from ugosa_client.resources import Mark, MarkState, TimedMark, exact_time

MAX_SLIPS = 50  # that a message lists
MAX_FILE_BYTES = 256_000_000  # projects with the data of plug-ins in them have tens of MB


def read_marks(
    path: str | os.PathLike[str], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[Mark, ...]:
    """Read a marks file into marks of a song of `frames` frames at `sample_rate_hz`.

    Raises:
        MarksFileError: the file cannot be read, a name is unknown, a region is reversed or lies
            outside the song, or two regions contradict each other. The message names the file, and of every
            slip the line and the way out.
    """
    return RegionFile.read(path).marks(sources, sample_rate_hz, frames)


@dataclass(frozen=True)
class RegionFile:
    """Regions of a marks file, read once: a pipe gives its bytes only once, and a file may change."""

    name: str
    """Path, for messages."""
    regions: tuple[Region, ...]
    sha256: str
    """Hex, of its bytes."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RegionFile:
        """Read a file.

        Raises:
            MarksFileError: as `read_regions`.
        """
        data = _read_bytes(Path(path))
        return cls(str(path), tuple(_regions_of(data, Path(path))), hashlib.sha256(data).hexdigest())

    def marks(self, sources: Sequence[str], sample_rate_hz: int, frames: int) -> tuple[Mark, ...]:
        """Return the marks of a song; see `read_marks`."""
        return _checked(self.name, self.regions, sources, sample_rate_hz, frames)

    def left_out(self, sources: Sequence[str], sample_rate_hz: int, frames: int) -> list[str]:
        """Return the names of regions that are no marks: parts of the song, and suggestions."""
        _, findings = examine_regions(self.regions, sources, sample_rate_hz, frames)
        return list(dict.fromkeys(f.region for f in findings if f.severity is Severity.INFO))


def marks_of_times(
    marks: Iterable[TimedMark], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[Mark, ...]:
    """Return marks in seconds in frames of a song, checked as those of a file are.

    Raises:
        MarksFileError: a name is unknown, a mark is reversed or lies outside the song, or two contradict
            each other. The message names them all.
    """
    regions, errors = [], []
    for mark in marks:
        try:
            source = find_source(mark.source, sources)
            start, end = (Position(exact_time(time_s)) for time_s in (mark.start_s, mark.end_s))
            state = MarkState(mark.state)
        except (TypeError, ValueError, OverflowError) as error:  # of a name, a state or a time
            errors.append(f"the mark of {mark.source!r}: {error}")
            continue
        regions.append(Region(source if state is MarkState.ACTIVE else f"-{source}", start, end))
    return _checked("the list of marks", regions, sources, sample_rate_hz, frames, errors)


def _checked(
    name: str,
    regions: Iterable[Region],
    sources: Sequence[str],
    sample_rate_hz: int,
    frames: int,
    errors: Sequence[str] = (),
) -> tuple[Mark, ...]:
    marks, findings = examine_regions(regions, sources, sample_rate_hz, frames)
    errors = [*errors, *(f"{f.where}: {f.text}" for f in findings if f.severity is Severity.ERROR)]
    if errors:
        raise MarksFileError(slips_text(name, errors))
    n_suggested = sum(finding.code == "SUGGESTION" for finding in findings)
    if n_suggested and not marks:
        raise MarksFileError(
            f"{name} holds suggestions ({n_suggested}) and no mark; take the question mark off those that "
            f"are right, or accept the surer ones: ugosa marks convert {name} OUT --accept 90"
        )
    return marks


def read_marks_of_stretch(
    path: str | os.PathLike[str], sources: Sequence[str], sample_rate_hz: int, first: int, last: int
) -> tuple[Mark, ...]:
    """Read a marks file of a song into marks of its stretch [first, last), counted from its start.

    Raises:
        MarksFileError: as `read_marks`, of regions that meet the stretch.
    """
    regions = regions_in_stretch(read_regions(Path(path)), sample_rate_hz, first, last)
    return _checked(str(path), regions, sources, sample_rate_hz, last - first)


def slips_text(path: str, errors: Sequence[str]) -> str:
    """Write the errors of a marks file, each with its place, as one message."""
    if len(errors) == 1:
        return f"{path}, {errors[0]}"
    more = [f"and {len(errors) - MAX_SLIPS} more"] if len(errors) > MAX_SLIPS else []
    return f"{path} has {len(errors)} slips:" + "".join(f"\n  {e}" for e in [*errors[:MAX_SLIPS], *more])


def write_regions(
    path: str | os.PathLike[str],
    regions: Sequence[Region],
    sample_rate_hz: int | None,
    marks_format: MarksFormat | None = None,
    into: str | os.PathLike[str] | None = None,
) -> None:
    """Write regions in a format, by default the suffix's, whole or not at all.

    With `into`, a project, a copy of it with the regions added is written.

    Raises:
        BadInputError: no format has that suffix.
        MarksFileError: the format cannot hold them, or knows no projects.
    """
    target = Path(path)
    marks_format = marks_format or format_of_name(target.name)
    project = None
    if into is not None:
        if not marks_format.takes_project:
            raise MarksFileError(f"a {marks_format.title} is no project to put marks into; leave out --into")
        project = _read_bytes(Path(into))
    regions = [replace(region, name=one_line(region.name)) for region in regions]
    try:
        data = marks_format.write(regions, sample_rate_hz, project)
    except ValueError as error:
        raise MarksFileError(f"cannot write {target}: {error}") from None
    partial = target.with_name(target.name + ".tmp")
    partial.write_bytes(data)
    os.replace(partial, target)


def read_regions(path: Path) -> list[Region]:
    """Read the regions of a file of any known format; an empty file has none.

    Raises:
        MarksFileError: it cannot be read, or is of no known format.
    """
    return _regions_of(_read_bytes(path), path)


def _regions_of(data: bytes, path: Path) -> list[Region]:
    if not data.strip():
        return []
    marks_format = format_of_bytes(data)
    if marks_format is None:
        _refuse_foreign_text(path, data)
        known = "; ".join(known.title for known in FORMATS)
        raise MarksFileError(
            f"{path} is no marks file of a known format; it begins with "
            f"{data.lstrip()[:40].decode(errors='replace').strip()!r}. "
            f"Known are: {known}"
        )
    try:
        return marks_format.read(data)
    except ValueError as error:
        raise MarksFileError(f"{path}, {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise MarksFileError(f"cannot read the marks file {path}: {reason_of(error)}") from error
    if len(data) > MAX_FILE_BYTES:
        raise MarksFileError(
            f"{path} has more than {MAX_FILE_BYTES // 10**6} MB, which no file of marks has; name another one"
        )
    return data


def _refuse_foreign_text(path: Path, data: bytes) -> None:
    try:
        decode_text(data)
    except ValueError as error:
        reason = "it is no text; is it the song?" if b"\0" in data else error
        raise MarksFileError(f"{path} is no marks file of a known format: {reason}") from None
