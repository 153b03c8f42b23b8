"""Versions of a song: its jobs, and what differs from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ugosa_client.marks.regions import clock_text
from ugosa_client.option_table import option_table
from ugosa_client.resources import Job, JobKind, JobOptions, JobState, Mark, MarkState

GONE = (JobState.FAILED, JobState.CANCELLED)
OF_PREVIEWS = ("preview_start_frame", "preview_end_frame")  # they change no stem


@dataclass(frozen=True)
class Version:
    """A job of a song, and how it differs from the one before it."""

    number: int
    """1 = the oldest that is there."""
    job: Job
    marks_changed: tuple[str, ...]
    """Marks that came ("+ vocals silent 0:10.0-0:20.0") and went ("- ...")."""
    options_changed: tuple[str, ...]
    """Options that are other ones, such as "epochs 10 -> 3"."""


def versions_of(jobs: Sequence[Job]) -> list[Version]:
    """Return the versions among the jobs of one song, newest first, as the jobs come."""
    made = [job for job in jobs if job.kind is JobKind.SEPARATION and job.state not in GONE][::-1]
    versions = []
    for number, job in enumerate(made, start=1):
        before = made[number - 2] if number > 1 else None
        versions.append(
            Version(
                number,
                job,
                marks_changed(before.marks if before else (), job.marks, job),
                options_changed(before.options, job.options) if before else (),
            )
        )
    return versions[::-1]


def marks_changed(before: Sequence[Mark], after: Sequence[Mark], job: Job) -> tuple[str, ...]:
    """Return the marks that came and went, in words; `job` has the rate of their song."""
    rate = job.audio.sample_rate_hz if job.audio else 1
    came = [f"+ {mark_text(mark, rate)}" for mark in sorted(set(after) - set(before))]
    return (*came, *(f"- {mark_text(mark, rate)}" for mark in sorted(set(before) - set(after))))


def options_changed(before: JobOptions, after: JobOptions) -> tuple[str, ...]:
    """Return the options that differ, by their names on the command line, with both values."""
    rows = [row for row in option_table() if row.field not in OF_PREVIEWS]
    pairs = [(row.flag, getattr(before, row.field), getattr(after, row.field)) for row in rows]
    changed = [(flag.removeprefix("--"), old, new) for flag, old, new in pairs if old != new]
    return tuple(f"{name} {_text(old)} -> {_text(new)}" for name, old, new in changed)


def mark_text(mark: Mark, sample_rate_hz: int) -> str:
    """Return a mark in words."""
    what = "silent" if mark.state is MarkState.SILENT else "plays"
    times_s = (Fraction(frame, sample_rate_hz) for frame in (mark.start_frame, mark.end_frame))
    start, end = (clock_text(time_s, 1) for time_s in times_s)
    return f"{mark.source} {what} {start}-{end}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "all"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
