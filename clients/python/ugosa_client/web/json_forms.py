"""JSON of the page: resources as the client has them; marks, options and numbers as the page sends them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ugosa_client.errors import BadInputError, BadOptionError
from ugosa_client.events import EVENT_NAMES, JobEvent
from ugosa_client.option_table import option_table
from ugosa_client.resources import ENUM_OPTIONS, Job, JobOptions, Mark, MarkState
from ugosa_client.web.audio import frames_per_peak
from ugosa_client.web.songs import Song

NUMBER = re.compile(r"[0-9]{1,18}")
NUMBERS_END = 2**63  # of what the wire holds
SIGHT_FIELDS = ("visual_frames", "pictures", "video")  # binary, and not of this page
TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "names": (list,),
    "switch": (bool,),
}


def picked(resource: object, *names: str) -> dict[str, Any]:
    """Return some fields of a resource."""
    return {name: getattr(resource, name) for name in names}


def song_json(song: Song) -> dict[str, Any]:
    """Return a song, with the number of frames that share a pair of peaks."""
    return {**asdict(song), "frames_per_peak": frames_per_peak(song.audio.sample_rate_hz)}


def job_json(job: Job) -> dict[str, Any]:
    """Return a job without what is seen of players."""
    values: dict[str, Any] = _plain(asdict(job))
    for field in SIGHT_FIELDS:
        values["options"].pop(field, None)
    return values


def event_json(event: JobEvent) -> dict[str, Any]:
    """Return an event; `event` says of which kind it is."""
    values = _plain(asdict(event))
    return {"event": EVENT_NAMES[type(event)], **values}


def marks_json(marks: Iterable[Mark]) -> list[dict[str, Any]]:
    """Return marks."""
    return [asdict(mark) for mark in marks]


def marks_of(values: Any) -> tuple[Mark, ...]:
    """Return the marks that the page sent; BadInputError if they are none."""
    try:
        return tuple(
            Mark(
                _typed(value["source"], str),
                MarkState(value["state"]),
                _typed(value["start_frame"], int),
                _typed(value["end_frame"], int),
            )
            for value in _typed(values, list)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"these are no marks: {error!r}") from error


def options_of(values: Any) -> JobOptions:
    """Return the options that the page sent; BadOptionError if they are none."""
    if not isinstance(values, dict):
        raise BadOptionError("options are an object of names and values")
    kinds = {row.field: row.kind for row in option_table()}
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name not in kinds:
            raise BadOptionError(f"there is no option {name!r}; there are {', '.join(kinds)}")
        types = TYPES.get(kinds[name], (str,))
        is_typed = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not is_typed or (isinstance(value, int) and abs(value) >= NUMBERS_END):
            raise BadOptionError(f"{name} is {value!r}, which is not of kind {kinds[name]}")
        fields[name] = tuple(map(str, value)) if isinstance(value, list) else value
    try:
        fields |= {name: words(fields[name]) for name, words in ENUM_OPTIONS.items() if name in fields}
        return JobOptions(**fields)
    except ValueError as error:
        raise BadOptionError(str(error)) from error


def number_of(text: str, name: str) -> int:
    """Return a number of events or steps in an address or a header; BadInputError if it is none."""
    if not NUMBER.fullmatch(text):
        raise BadInputError(f"{name} is {text[:100]!r}, which is no number of 1 to 18 digits")
    return int(text)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def _plain(value: Any) -> Any:
    """Return nested dicts and lists with each time as text."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
