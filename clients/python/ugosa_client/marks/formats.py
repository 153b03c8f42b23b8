"""Formats of marks files: recognition, reading and writing of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ugosa_client.errors import BadInputError
from ugosa_client.marks import (
    ableton,
    ardour,
    audacity,
    jams,
    lab,
    midi,
    reaper_csv,
    reaper_project,
    sonic_visualiser,
)
from ugosa_client.marks.regions import Region
from ugosa_client.marks.text import decode_text


@dataclass(frozen=True)
class MarksFormat:
    """One format."""

    name: str
    """Name in `--format`."""
    title: str
    suffixes: tuple[str, ...]
    """Suffixes of file names, with the dot; each belongs to one format."""
    looks_like: Callable[[bytes], bool]
    """Return whether a file is of it; ValueError if it is no text, as a file of it is."""
    read: Callable[[bytes], list[Region]]
    """Return the regions of a file; ValueError with a line if it cannot be read."""
    write: Callable[[Sequence[Region], int | None, bytes | None], bytes]
    """Return the file of regions, a sample rate, and the project to put them into."""
    takes_project: bool = False
    """Whether `write` can put regions into a project."""


class TextModule(Protocol):
    """A module with the functions of a format of text."""

    def looks_like(self, text: str) -> bool: ...  # noqa: D102
    def parse(self, text: str) -> list[Region]: ...  # noqa: D102
    def write(self, regions: Sequence[Region], sample_rate_hz: int | None) -> str: ...  # noqa: D102


class ProjectModule(Protocol):
    """A module with the functions of the projects of a program."""

    def looks_like(self, data: bytes) -> bool: ...  # noqa: D102
    def parse(self, data: bytes) -> list[Region]: ...  # noqa: D102
    def write(  # noqa: D102
        self, regions: Sequence[Region], sample_rate_hz: int | None, into: bytes | None
    ) -> bytes: ...


def text_format(name: str, title: str, suffixes: tuple[str, ...], module: TextModule) -> MarksFormat:
    """Make a format of functions on text."""
    return MarksFormat(
        name,
        title,
        suffixes,
        lambda data: module.looks_like(decode_text(data)),
        lambda data: module.parse(decode_text(data)),
        lambda regions, sample_rate_hz, into: module.write(regions, sample_rate_hz).encode(),
    )


def project_format(name: str, title: str, suffix: str, module: ProjectModule) -> MarksFormat:
    """Make a format of functions on projects."""
    functions = module.looks_like, module.parse, module.write
    return MarksFormat(name, title, (suffix,), *functions, takes_project=True)


# In the order in which a file's content is tried: the looser a format, the later.
FORMATS = (
    MarksFormat(
        "midi",
        "MIDI file",
        (".mid", ".midi"),
        midi.looks_like,
        midi.parse,
        lambda regions, sample_rate_hz, into: midi.write(regions, sample_rate_hz),
    ),
    project_format("ableton", "Ableton Live set", ".als", ableton),
    project_format("rpp", "REAPER project", ".rpp", reaper_project),
    project_format("ardour", "Ardour session", ".ardour", ardour),
    text_format("jams", "JAMS", (".jams",), jams),
    text_format("reaper-csv", "REAPER region list (header #,Name,Start,End,Length)", (".csv",), reaper_csv),
    text_format(
        "sonic-visualiser", "Sonic Visualiser regions (time,value,duration,label)", (), sonic_visualiser
    ),
    text_format("audacity", "Audacity labels (start, tab, end, tab, name)", (".txt",), audacity),
    text_format("lab", ".lab (start end name)", (".lab",), lab),
)


def format_of_bytes(data: bytes) -> MarksFormat | None:
    """Return the format of a file's content, if it is known."""
    for known in FORMATS:
        with suppress(ValueError):
            if known.looks_like(data):
                return known
    return None


def format_of_name(file_name: str) -> MarksFormat:
    """Return the format that a file of that name should have.

    Raises:
        BadInputError: its suffix is of none.
    """
    for known in FORMATS:
        if file_name.casefold().endswith(known.suffixes):
            return known
    suffixes = ", ".join(suffix for known in FORMATS for suffix in known.suffixes)
    raise BadInputError(f"{file_name} has no suffix of a known format ({suffixes}); choose one with --format")


def format_named(name: str) -> MarksFormat:
    """Return the format of `--format`."""
    return next(known for known in FORMATS if known.name == name)
