"""Requests of the Lua scripts: one audio region of a session and the range markers over it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_client import Mark
from ugosa_client.errors import BadAudioError, BadInputError
from ugosa_client.marks.labels import is_meant_as_mark, parse_label
from ugosa_client.marks.suggestions import is_suggestion

SUBTYPES_KEPT = ("PCM_16", "PCM_24")
"""Sample formats that the song keeps; all others become 32-bit float."""


@dataclass(frozen=True)
class Channel:
    """File and channel that hold one audio channel of the region."""

    path: Path
    """Audio file; a stereo region lies in two mono files, or in one that Ardour links to."""
    channel: int
    """Channel of the file, from 0."""


@dataclass(frozen=True)
class Range:
    """A range marker, cut to the region."""

    name: str
    """Name that the musician gave it, for example "no vocals"."""
    start_frame: int
    """First frame, counted from the start of the region."""
    end_frame: int
    """End, exclusive."""


@dataclass(frozen=True)
class Request:
    """One region to be separated."""

    region: str
    """Its name."""
    sample_rate_hz: int
    """Sample rate of the session; positions count its frames."""
    start_frame: int
    """First frame of the region in its files."""
    frames: int
    """Length of the region."""
    channels: tuple[Channel, ...]
    """Its audio, left before right."""
    ranges: tuple[Range, ...]
    """The range markers over it."""


def read_request(path: Path) -> Request:
    """Read the request file of a script."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["channels"] = tuple(Channel(Path(item["path"]), item["channel"]) for item in values["channels"])
    values["ranges"] = tuple(Range(**item) for item in values["ranges"])
    return Request(**values)


def write_song(request: Request, path: Path) -> None:
    """Write the region's audio, before its fader, as one WAV file.

    Raises:
        BadAudioError: a file is unreadable, of another rate than the session, or shorter than the region.
    """
    columns, subtypes = [], set()
    for channel in request.channels:
        samples, subtype = _read_channel(request, channel)
        columns.append(samples)
        subtypes.add(subtype)
    subtype = subtypes.pop() if len(subtypes) == 1 else "FLOAT"
    song = np.stack(columns, axis=1)  # [T, C]
    soundfile.write(
        path, song, request.sample_rate_hz, subtype=subtype if subtype in SUBTYPES_KEPT else "FLOAT"
    )


def _read_channel(request: Request, channel: Channel) -> tuple[NDArray[np.float64], str]:
    """Return one channel of the region ([T]) and the sample format of its file."""
    try:
        with soundfile.SoundFile(channel.path) as file:
            if file.samplerate != request.sample_rate_hz:
                raise BadAudioError(
                    f"{channel.path} has {file.samplerate} Hz, but the session {request.sample_rate_hz} Hz; "
                    "bounce the region (Region > Bounce), and separate the bounced one"
                )
            end_frame = request.start_frame + request.frames
            if end_frame > file.frames:
                raise BadAudioError(
                    f"the region ends at frame {end_frame} of {channel.path}, which has {file.frames} frames"
                )
            file.seek(request.start_frame)
            samples = file.read(request.frames, dtype="float64", always_2d=True)  # [T, C]
            return samples[:, channel.channel], file.subtype
    except soundfile.LibsndfileError as error:
        raise BadAudioError(f"cannot read {channel.path}: {error.error_string}") from error


def marks_of(ranges: Sequence[Range], sources: Sequence[str]) -> tuple[list[Mark], list[str]]:
    """Return marks of range markers, and a sentence on each that is none: "Verse 1", or a suggestion.

    Raises:
        BadInputError: a name that is meant as a mark is not understood; the message says which.
    """
    marks, left_out = [], []
    for span in ranges:
        if is_suggestion(span.name):
            left_out.append(
                f"the range marker {span.name!r} is a suggestion and is left out; take its question mark "
                "off, if it is right"
            )
            continue
        try:
            states = parse_label(span.name, sources)
        except ValueError as error:
            if not is_meant_as_mark(span.name, sources):
                left_out.append(f"the range marker {span.name!r} names no instrument and is left out")
                continue
            raise BadInputError(
                f"range marker {span.name!r}: {error}. Rename it, or hide it in Window > Locations"
            ) from None
        marks += [Mark(source, state, span.start_frame, span.end_frame) for source, state in states.items()]
    return marks, left_out
