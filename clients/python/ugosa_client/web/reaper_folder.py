"""Stems of a job as a folder that REAPER opens: a track for each stem, the job's marks as regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ugosa_client.marks.reaper_project import format_reaper_project
from ugosa_client.marks.regions import regions_of_marks
from ugosa_client.marks.rpp import LINE_END, quote
from ugosa_client.resources import Job

SOURCE_KINDS = {".wav": "WAVE", ".flac": "FLAC"}


def format_stems_project(job: Job, file_names: Sequence[str]) -> bytes:
    """Return a REAPER project of a job's stems, whose files lie beside it.

    Args:
        job: one that succeeded.
        file_names: of its stems, in their order.
    """
    lines = ['<REAPER_PROJECT 0.1 "6.0/ugosa" 0']
    lines += [f"  SAMPLERATE {stem.sample_rate_hz} 1 0" for stem in job.stems[:1]]
    for stem, file_name in zip(job.stems, file_names, strict=True):
        lines += [
            "  <TRACK",
            f"    NAME {quote(stem.source)}",
            "    <ITEM",
            "      POSITION 0",
            f"      LENGTH {stem.frames / stem.sample_rate_hz:.14f}",
            f"      SEL {int(stem is job.stems[0])}",  # marks are read back in time of the selected item
            f"      NAME {quote(file_name)}",
            f"      <SOURCE {SOURCE_KINDS[PurePath(file_name).suffix]}",
            f"        FILE {quote(file_name)}",
            "      >",
            "    >",
            "  >",
        ]
    project = "".join(line + LINE_END for line in [*lines, ">"]).encode()
    rate = job.audio.sample_rate_hz if job.audio else None
    return format_reaper_project(regions_of_marks(job.marks), rate, project)
