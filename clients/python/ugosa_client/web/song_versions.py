"""Versions of a song as the page shows them: a job each, with the takes that can be heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ugosa_client.resources import UNADAPTED, Job, JobState, Stem, VerdictOutcome
from ugosa_client.versions import Version, versions_of
from ugosa_client.web.json_forms import job_json

START_CHANGED = "start-from "  # begins what is said of that option
WITHOUT_MARKS, UNDER_MARKS, ADAPTED = "Without marks", "Under your marks", "Adapted"


@dataclass(frozen=True)
class Take:
    """Stems that can be heard."""

    name: str
    """Name for people."""
    job: Job
    is_base: bool = False
    """Whether they are `Job.base_stems`."""

    @property
    def stems(self) -> tuple[Stem, ...]:
        """Stems, none where they are not there yet, or no longer."""
        return self.job.base_stems if self.is_base else self.job.stems


@dataclass(frozen=True)
class SongVersion:
    """A version and its takes."""

    version: Version
    """Its job, and what is other than in the version before."""
    takes: tuple[Take, ...]
    """Without marks, under the marks, adapted to them, as far as they are there; the last is the best."""


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
    return job.options.strategy == UNADAPTED or not job.marks


def versions_json(versions: Sequence[SongVersion]) -> list[dict[str, Any]]:
    """Return versions for the page; `started_from` is the number of the version from which one went on."""
    numbers: dict[str | None, int] = {
        version.version.job.job_id: version.version.number for version in versions
    }
    return [
        {
            "number": version.version.number,
            "job": job_json(version.version.job),
            "marks_changed": version.version.marks_changed,
            "options_changed": [
                change for change in version.version.options_changed if not change.startswith(START_CHANGED)
            ],
            "started_from": numbers.get(version.version.job.options.start_from),
            "takes": [
                {
                    "name": take.name,
                    "job_id": take.job.job_id,
                    "is_base": take.is_base,
                    "sources": [stem.source for stem in take.stems],
                }
                for take in version.takes
            ],
        }
        for version in versions
    ]


def _takes(job: Job, bases: Sequence[Job]) -> list[Take]:
    plain = [Take(WITHOUT_MARKS, base) for base in bases if not base.marks and _has_model_of(base, job)]
    under = [Take(UNDER_MARKS, base) for base in bases if base.marks and _is_alike(base, job)]
    own = [] if is_base(job) else [Take(ADAPTED, job)]
    if own:
        under = [Take(UNDER_MARKS, job, is_base=True), *under]
    if own and job.verdict is not None and job.verdict.outcome is VerdictOutcome.DID_NOT:
        own, under = [], [*under, Take(UNDER_MARKS, job)]  # the model was kept: nothing is to be compared
    there = [[take for take in takes if take.stems] for takes in (plain, under, own)]
    return [takes[0] for takes in there if takes]


def _is_alike(job: Job, other: Job) -> bool:
    return _has_model_of(job, other) and set(job.marks) == set(other.marks)


def _has_model_of(job: Job, other: Job) -> bool:
    return job.options.model == other.options.model
