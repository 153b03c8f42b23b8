"""Versions of a song as the page shows them: a job each, with the takes that can be heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ugosa_client.resources import Job, JobState
from ugosa_client.versions import Version, versions_of
from ugosa_client.web.json_forms import job_json

NO_ADAPTATION = "B0"
WITHOUT_MARKS, UNDER_MARKS, ADAPTED = "Without marks", "Under your marks", "Adapted"


@dataclass(frozen=True)
class SongVersion:
    """A version and its takes."""

    version: Version
    """Its job, and what is other than in the version before."""
    takes: tuple[tuple[str, Job], ...]
    """Names and jobs with stems: without marks, under the marks, adapted to them; the last is the best."""


def song_versions(jobs: Sequence[Job]) -> list[SongVersion]:
    """Return the versions among the separations of one song, newest first, as the jobs come.

    A separation by the model as it is belongs to the version that was adapted to the same marks, if one was.
    """
    adapted = [
        job for job in jobs if not is_base(job) and job.state not in (JobState.FAILED, JobState.CANCELLED)
    ]
    own = [job for job in jobs if not (is_base(job) and any(_is_alike(job, other) for other in adapted))]
    bases = [job for job in jobs if is_base(job)]
    return [SongVersion(version, tuple(_takes(version.job, bases))) for version in versions_of(own)]


def is_base(job: Job) -> bool:
    """Return whether a job leaves the model as it is."""
    return job.options.strategy == NO_ADAPTATION or not job.marks


def versions_json(versions: Sequence[SongVersion]) -> list[dict[str, Any]]:
    """Return versions for the page."""
    return [
        {
            "number": version.version.number,
            "job": job_json(version.version.job),
            "marks_changed": version.version.marks_changed,
            "options_changed": version.version.options_changed,
            "takes": [
                {"name": name, "job_id": job.job_id, "sources": [stem.source for stem in job.stems]}
                for name, job in version.takes
            ],
        }
        for version in versions
    ]


def _takes(job: Job, bases: Sequence[Job]) -> list[tuple[str, Job]]:
    plain = [base for base in bases if not base.marks and base.options.model == job.options.model]
    under = [base for base in bases if base.marks and _is_alike(base, job)]
    named = [(WITHOUT_MARKS, plain), (UNDER_MARKS, under), (ADAPTED, [] if is_base(job) else [job])]
    with_stems = [(name, [other for other in others if other.stems]) for name, others in named]
    return [(name, others[0]) for name, others in with_stems if others]


def _is_alike(job: Job, other: Job) -> bool:
    return job.options.model == other.options.model and set(job.marks) == set(other.marks)
