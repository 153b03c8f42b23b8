"""The versions of a song: `ugosa versions`, `compare` and `star`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from shlex import quote
from typing import Any

from rich.markup import escape
from rich.table import Table

from ugosa_client.cli.batch_files import SongTree
from ugosa_client.cli.jobs import minute_text, table_text
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, NotFoundError
from ugosa_client.resources import Job, JobState, VerdictOutcome
from ugosa_client.separate import take_project
from ugosa_client.song import FileSong
from ugosa_client.versions import Version, marks_changed, options_changed, versions_of

ID = re.compile(r"(job|upload)-[0-9a-f]{16}")
OUTCOMES = {
    VerdictOutcome.HELPED: "helped",
    VerdictOutcome.DID_NOT: "did not help",
    VerdictOutcome.CANNOT_TELL: "cannot tell",
}
JOB_HELP = "its id, or its number in `ugosa versions SONG`"
MAX_CHANGES = 3  # that a line of the list names


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""
    versions = commands.add_parser(
        "versions", parents=[common], help="list the jobs of a song, and what changed from one to the next"
    )
    versions.add_argument("song", metavar="SONG", help="its file, its id (`ugosa songs`), or one of its jobs")
    versions.set_defaults(run=run_versions)
    compare = commands.add_parser(
        "compare", parents=[common], help="say what differs between two jobs, and what came of it"
    )
    compare.add_argument("first", metavar="JOB", help=JOB_HELP)
    compare.add_argument("second", metavar="JOB", help=JOB_HELP)
    compare.set_defaults(run=run_compare)
    star = commands.add_parser("star", parents=[common], help="keep a job with its stems for ever")
    star.add_argument("job", metavar="JOB", help=JOB_HELP)
    star.add_argument("--remove", action="store_true", help="keep it only as long as others")
    star.set_defaults(run=run_star)
    for command in (compare, star):
        command.add_argument(
            "--song",
            metavar="SONG",
            help="whose versions have these numbers, as `ugosa versions` takes it (default: the only song in"
            " this folder)",
        )


def run_versions(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """List the versions, newest first."""
    versions = _versions(arguments.song, client)
    table = Table("", "job", "made", "marks changed", "options changed", "verdict", box=None)
    for version in versions:
        job = version.job
        table.add_row(
            f"{'*' if job.starred else ' '}{version.number}",
            job.job_id,
            minute_text(job.create_time),
            escape(_listing(version.marks_changed)),
            escape(_listing(version.options_changed)),
            _outcome(job),
        )
    text = table_text(table) if versions else "no job has separated this song"
    reporter.result({"versions": versions}, text)


def run_compare(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Say what differs between two jobs of a song: marks, options, verdicts, leakage."""
    first, second = (
        client.get_job(_job_id(job, arguments.song, client)) for job in (arguments.first, arguments.second)
    )
    if first.song_sha256 != second.song_sha256:
        raise BadInputError(f"{first.job_id} and {second.job_id} are of two songs and cannot be compared")
    marks = marks_changed(first.marks, second.marks, second)
    options = options_changed(first.options, second.options)
    leakage = [_leakage(job, client) for job in (first, second)]
    lines = [f"{second.job_id} differs from {first.job_id} in"]
    lines += [f"  mark    {change}" for change in marks] + [f"  option  {change}" for change in options]
    if not (marks or options):
        lines = [f"{second.job_id} and {first.job_id} have the same marks and options"]
    lines += [f"{job.job_id}: {_verdict_text(job)}" for job in (first, second)]
    sources = [source for source in leakage[0] if source in leakage[1]]
    if sources:
        table = Table("leakage into marked silence", first.job_id, second.job_id, box=None)
        for source in sources:
            table.add_row(escape(source), *(f"{levels[source]:.1f} dBFS" for levels in leakage))
        lines.append(table_text(table))
        if marks:
            lines.append("(each under its own marks: where those differ, so does what is measured)")
    values = {"marks": marks, "options": options, "jobs": [first, second], "leakage_dbfs": leakage}
    hint = "`ugosa star JOB` keeps one for good, `ugosa fetch JOB -o DIR` brings its stems"
    reporter.result(values, "\n".join(lines), closing=hint)


def run_star(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Keep the job, or no longer."""
    job_id = _job_id(arguments.job, arguments.song, client)
    job = client.star(job_id, starred=not arguments.remove)
    kept = "is kept until you delete it" if job.starred else "is kept as long as others"
    reporter.result({"job": job}, f"job {job.job_id} {kept}")


def _job_id(job: str, song: str | None, client: UgosaClient) -> str:
    """Return the id of a job given by it, or by its number among the versions of a song."""
    if not job.isdecimal():
        return job
    song = song or _song_here()
    versions = _versions(song, client)
    for version in versions:
        if version.number == int(job):
            return version.job.job_id
    raise NotFoundError(
        f"{song} has no version {job} among its {len(versions)}; `ugosa versions {quote(song)}` lists them"
    )


def _song_here() -> str:
    """Return the only song of the folder that the command runs in."""
    here = Path.cwd()
    songs = SongTree(here, recursive=False, out=here).songs()
    if len(songs) > 1:
        raise BadInputError(f"{here} has {len(songs)} songs; name the one that is meant with --song")
    return songs[0].name


def _versions(song: str, client: UgosaClient) -> list[Version]:
    return versions_of(list(client.list_jobs(song_sha256=_song_sha256(song, client))))


def _song_sha256(song: str, client: UgosaClient) -> str:
    """Return the digest of a song given as a file, a REAPER project, an upload or a job."""
    if not ID.fullmatch(song):
        source, _ = take_project(song, ())
        return FileSong(Path(str(source))).sha256
    if song.startswith("job-"):
        return client.get_job(song).song_sha256
    for upload in client.list_uploads():
        if upload.upload_id == song:
            return upload.sha256
    raise NotFoundError(f"there is no song {song}; `ugosa songs` lists yours")


def _leakage(job: Job, client: UgosaClient) -> dict[str, float]:
    """Return the level of each stem's estimate in its marked silence, by source, while the report is kept."""
    if not job.stems:
        return {}
    levels = {
        stem["source"]: stem["leakage_after_dbfs"] or stem["leakage_before_dbfs"]
        for stem in client.read_report(job.job_id)["stems"]
    }
    return {source: float(level) for source, level in levels.items() if level is not None}


def _outcome(job: Job) -> str:
    if job.state is not JobState.SUCCEEDED:
        return str(job.state)
    word = OUTCOMES[job.verdict.outcome] if job.verdict else "not judged" if job.adapter else "not adapted"
    return word if job.stems else f"{word}, stems gone"


def _verdict_text(job: Job) -> str:
    if job.state is not JobState.SUCCEEDED:
        return str(job.state)
    text = (
        job.verdict.message
        if job.verdict
        else "fine-tuned, not judged"
        if job.adapter
        else "the model as it is"
    )
    return text if job.stems else f"{text}; stems no longer kept"


def _listing(changes: tuple[str, ...]) -> str:
    more = len(changes) - MAX_CHANGES
    return "\n".join((*changes[:MAX_CHANGES], *([f"and {more} more"] if more > 0 else [])))
