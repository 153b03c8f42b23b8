"""Folders of results beside each other: `stems`, `stems-2`, `stems-3`, and the link `stems-latest`.

The page of a report in such a folder is told the names of the files beside it, which it plays.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ugosa_client.resources import StemEncoding
from ugosa_client.stem_files import StemFiles

REPORT_JSON, REPORT_HTML = "report.json", "report.html"
LATEST = "-latest"
BASE_FOLDER = "base"  # of stems of the model as it is, in the folder of the others
TAKES_FOLDER = "takes"  # of folders of stems that were made for the page alone, in that folder
STEMS = "stems"
"""The job's own stems, among the takes of `name_files`."""
FILES = re.compile(rb'(<script id="files" type="application/json">)([^<]*)')


def job_of_folder(folder: Path) -> str | None:
    """Return the id of the job whose results a folder holds; None = it is no folder of results."""
    return _job_of_report(_report_of_folder(folder))


def remove_replaced(folder: Path, job_id: str, rule: StemFiles, names: Collection[str]) -> None:
    """Remove the results of another job that files of these names are to replace; with none, a `base` whole.

    Else they would stand among the new ones, as stems of the same song. What is not of that job stays. Its
    files are those of this rule, and those that its page was told: of another rule, and its takes.
    """
    report = _report_of_folder(folder)
    is_song = not names and report.get("take") != BASE_FOLDER  # one named "base", with a folder of its own
    if is_song or _job_of_report(report) in (None, job_id):
        return
    with suppress(KeyError, TypeError, ValueError):  # a report of somebody else, or of an older kind
        sources = [str(stem["source"]) for stem in report["stems"]]
        suffix = StemEncoding(report["stem_encoding"]).suffix
        old = rule.names(str(report["file_name"]), sources, suffix)
        named = _files_of_page(folder / REPORT_HTML)
        takes = {Path(name).parent for name in named if Path(name).is_relative_to(TAKES_FOLDER)}
        reports = [REPORT_HTML, *(f"{take}/{REPORT_JSON}" for take in takes)]
        for name in {*old, *named, *reports} - {*names}:
            (folder / name).unlink(missing_ok=True)
        for take in takes:
            with suppress(OSError):  # something else is in it
                os.removedirs(folder / take)
        if not names:
            (folder / REPORT_JSON).unlink()
            with suppress(OSError):  # something else is in it
                folder.rmdir()


def _report_of_folder(folder: Path) -> dict[str, Any]:
    try:
        report = json.loads((folder / REPORT_JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) and "stems" in report else {}


def _job_of_report(report: Mapping[str, Any]) -> str | None:
    job_id = report.get("job_id", report.get("job"))
    return None if job_id is None else str(job_id)


def free_folder(folder: Path, job_id: str) -> Path:
    """Return the first folder of the row that holds no results of another job; it need not exist yet.

    The first of the row may hold files of the user; the others are new, empty, or of this job.
    """
    if job_of_folder(folder) in (None, job_id):
        return folder
    row = folder if folder.name not in ("", "..") else folder.resolve()
    for number in itertools.count(2):
        candidate = row.with_name(f"{row.name}-{number}")
        is_own = job_id in (job_of_folder(candidate), job_of_folder(candidate / BASE_FOLDER))
        if is_own or not candidate.exists() or _is_empty(candidate):
            return candidate
    raise AssertionError  # the count has no end


def take_folder(folder: Path, job_id: str) -> bool:
    """Note in a free folder that it is a job's; return False if another job has just taken it."""
    report = folder / REPORT_JSON
    note = report.with_name(f"{REPORT_JSON}.{job_id}.tmp")
    note.write_text(json.dumps({"job_id": job_id, "stems": []}), encoding="utf-8")
    try:
        os.link(note, report)  # unlike a rename, it replaces nothing
    except FileExistsError:
        pass
    except OSError:  # some disks have no links
        os.replace(note, report)
    note.unlink(missing_ok=True)
    return job_of_folder(folder) in (None, job_id)


def link_latest(first: Path, folder: Path) -> None:
    """Let `FIRST-latest` lead to a folder of its row, where the file system has links.

    A row of one folder needs none. What has that name and is no link stays.
    """
    row = first if first.name not in ("", "..") else first.resolve()
    link = row.with_name(row.name + LATEST)
    if (folder == first and not link.is_symlink()) or (link.exists() and not link.is_symlink()):
        return
    new = link.with_name(f"{link.name}.tmp")
    with suppress(OSError):
        new.unlink(missing_ok=True)
        new.symlink_to(folder.resolve().name, target_is_directory=True)
        os.replace(new, link)


def name_files(page: Path, takes: Mapping[str, Mapping[str, str]]) -> None:
    """Write the files beside a page into it, whole or not at all.

    Args:
        page: the page as the server gives it, or as this function left it.
        takes: relative path of each stem by its source, by take: `STEMS`, "base" and "marked".
    """
    names = json.dumps(takes).replace("<", "\\u003c").encode()
    text = FILES.sub(lambda found: found[1] + names, page.read_bytes(), count=1)
    partial = page.with_name(page.name + ".tmp")
    partial.write_bytes(text)
    os.replace(partial, page)


def _files_of_page(page: Path) -> set[str]:
    """Return the relative paths that `name_files` wrote into a page; none if there is no such page."""
    try:
        found = FILES.search(page.read_bytes())
    except OSError:
        return set()
    takes: dict[str, dict[str, str]] = json.loads(found[2]) if found else {}
    names = {name for take in takes.values() for name in take.values()}
    return {name for name in names if not Path(name).is_absolute() and ".." not in Path(name).parts}


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
