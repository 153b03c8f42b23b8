"""Formats of marks files: recognition, reading and writing of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from ugosa_client.marks.text import decode_project, decode_text


@dataclass(frozen=True)
class MarksFormat:
    """One format; `read` raises ValueError with a line."""

    name: str
    """Name in `--format`."""
    title: str
    suffixes: tuple[str, ...]
    """Suffixes of file names, with the dot; each belongs to one format."""
    looks_like: Callable[[bytes], bool]
    read: Callable[[bytes], list[Region]]
    write: Callable[[Sequence[Region], int | None, bytes | None], bytes]
    """Return the file of regions, a sample rate, and the project to put them into."""
    takes_project: bool = False
    """Whether `write` can put regions into a project."""


def text_format(
    name: str,
    title: str,
    suffixes: tuple[str, ...],
    looks_like: Callable[[str], bool],
    parse: Callable[[str], list[Region]],
    write: Callable[[Sequence[Region], int | None], str],
) -> MarksFormat:
    """Make a format of functions on text."""
    return MarksFormat(
        name,
        title,
        suffixes,
        _if_text(looks_like),
        lambda data: parse(decode_text(data)),
        lambda regions, sample_rate_hz, into: write(regions, sample_rate_hz).encode(),
    )


def _if_text(
    looks_like: Callable[[str], bool], decode: Callable[[bytes], str] = decode_text
) -> Callable[[bytes], bool]:
    def looks_like_bytes(data: bytes) -> bool:
        try:
            return looks_like(decode(data))
        except ValueError:
            return False

    return looks_like_bytes


# In the order in which a file's content is tried: the looser a format, the later.
FORMATS = (
    MarksFormat(
        "midi",
        "MIDI file",
        (".mid", ".midi"),
        midi.looks_like_midi,
        midi.parse_midi,
        lambda regions, sample_rate_hz, into: midi.format_midi(regions, sample_rate_hz),
    ),
    MarksFormat(
        "ableton",
        "Ableton Live set",
        (".als",),
        ableton.looks_like_ableton,
        ableton.parse_ableton,
        ableton.format_ableton,
        takes_project=True,
    ),
    MarksFormat(
        "rpp",
        "REAPER project",
        (".rpp",),
        _if_text(reaper_project.looks_like_reaper_project, decode_project),
        lambda data: reaper_project.parse_reaper_project(decode_project(data)),
        reaper_project.format_reaper_project,
        takes_project=True,
    ),
    MarksFormat(
        "ardour",
        "Ardour session",
        (".ardour",),
        ardour.looks_like_ardour,
        ardour.parse_ardour,
        ardour.format_ardour,
        takes_project=True,
    ),
    text_format("jams", "JAMS", (".jams",), jams.looks_like_jams, jams.parse_jams, jams.format_jams),
    text_format(
        "reaper-csv",
        "REAPER region list (header #,Name,Start,End,Length)",
        (".csv",),
        reaper_csv.looks_like_reaper_csv,
        reaper_csv.parse_reaper_csv,
        reaper_csv.format_reaper_csv,
    ),
    text_format(
        "sonic-visualiser",
        "Sonic Visualiser regions (time,value,duration,label)",
        (),
        sonic_visualiser.looks_like_sonic_visualiser,
        sonic_visualiser.parse_sonic_visualiser,
        sonic_visualiser.format_sonic_visualiser,
    ),
    text_format(
        "audacity",
        "Audacity labels (start, tab, end, tab, name)",
        (".txt",),
        audacity.looks_like_audacity,
        audacity.parse_audacity,
        audacity.format_audacity,
    ),
    text_format("lab", ".lab (start end name)", (".lab",), lab.looks_like_lab, lab.parse_lab, lab.format_lab),
)


def format_of_bytes(data: bytes) -> MarksFormat | None:
    """Return the format of a file's content, if it is known."""
    return next((known for known in FORMATS if known.looks_like(data)), None)


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
