"""The server's contents: `ugosa watch`, `fetch`, `accept`, `cancel`, `delete`, and its lists."""

from __future__ import annotations

import argparse
import itertools
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ugosa_client.cli.job_options import add_lossy_format, add_name, stem_files
from ugosa_client.cli.reporter import Reporter
from ugosa_client.cli.separate import add_out
from ugosa_client.client import UgosaClient
from ugosa_client.errors import JobCancelledError, JobFailedError
from ugosa_client.resources import Job, JobState


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""
    watch = commands.add_parser("watch", parents=[common], help="show a job's progress up to its end")
    watch.add_argument("job_id", metavar="JOB")
    watch.add_argument("--after", type=_count, default=0, metavar="SEQ", help="only events after this number")
    watch.set_defaults(run=run_watch)

    fetch = commands.add_parser("fetch", parents=[common], help="get the stems and the report of a job")
    fetch.add_argument("job_id", metavar="JOB")
    add_out(fetch, required=True)
    add_name(fetch)
    add_lossy_format(fetch)
    fetch.set_defaults(run=run_fetch)

    cancel = commands.add_parser("cancel", parents=[common], help="ask a job to end")
    cancel.add_argument("job_id", metavar="JOB")
    cancel.set_defaults(run=run_cancel)

    accept = commands.add_parser(
        "accept", parents=[common], help="have a job learn no more and go on to the stems"
    )
    accept.add_argument("job_id", metavar="JOB")
    accept.set_defaults(run=run_accept)

    delete = commands.add_parser("delete", parents=[common], help="delete an ended job with its stems")
    delete.add_argument("job_id", metavar="JOB")
    delete.set_defaults(run=run_delete)

    jobs = commands.add_parser("jobs", parents=[common], help="list jobs, newest first")
    jobs.add_argument(
        "--state",
        action="append",
        default=[],
        choices=[state.value for state in JobState],
        metavar="STATE",
        help="only these",
    )
    jobs.add_argument("--limit", type=_count, default=50, metavar="N", help="at most N, default %(default)s")
    jobs.set_defaults(run=run_jobs)

    songs = commands.add_parser("songs", parents=[common], help="list songs at the server, newest first")
    songs.add_argument("--delete", action="append", default=[], metavar="SONG", help="delete this one first")
    songs.set_defaults(run=run_songs)

    usage = commands.add_parser("usage", parents=[common], help="say how much you store at the server")
    usage.set_defaults(run=run_usage)

    models = commands.add_parser("models", parents=[common], help="list separation networks")
    models.add_argument("--all", action="store_true", help="those for ensembles of instruments too")
    models.set_defaults(run=run_models)


def _count(text: str) -> int:
    """Read a number of events or jobs."""
    number = int(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return number


def run_watch(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Show events until the job ends; raise if it failed or was cancelled."""
    for event in client.watch(arguments.job_id, arguments.after):
        reporter.happened(event)
    job = client.get_job(arguments.job_id)
    if job.state is JobState.FAILED:
        raise JobFailedError(job)
    if job.state is JobState.CANCELLED:
        raise JobCancelledError(job)
    reporter.result({"job": job}, f"job {job.job_id} {job.state}")


def run_fetch(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Get the results."""
    files = client.fetch(
        arguments.job_id,
        arguments.out,
        overwrite=arguments.overwrite,
        beside=not arguments.overwrite,
        stem_files=stem_files(arguments),
        on_progress=reporter.fetched,
    )
    listing = [str(path) for path in files.paths]
    reporter.result(
        {"job_id": arguments.job_id, "folder": files.folder, "files": listing}, "\n".join(listing)
    )


def run_cancel(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Ask the job to end."""
    job = client.cancel(arguments.job_id)
    reporter.result({"job": job}, _state_text(job))


def run_accept(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Ask the job to take what it has learned."""
    job = client.accept(arguments.job_id)
    reporter.result({"job": job}, _state_text(job))


def _state_text(job: Job) -> str:
    ended = job.state in (JobState.SUCCEEDED, JobState.FAILED)
    return f"job {job.job_id} " + (f"has ended already ({job.state})" if ended else f"is {job.state}")


def run_delete(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Delete the job."""
    client.delete(arguments.job_id)
    reporter.result({"job_id": arguments.job_id}, f"job {arguments.job_id} is deleted")


def run_jobs(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """List jobs."""
    states = [JobState(state) for state in arguments.state]
    found = list(itertools.islice(client.list_jobs(states), arguments.limit))
    table = Table("job", "state", "done", "song", "marks", "model", "made", box=None)
    for job in found:
        table.add_row(
            job.job_id,
            str(job.state) + (f" ({job.queue_position})" if job.queue_position else ""),
            f"{job.fraction:.0%}",
            escape(job.file_name),
            str(len(job.marks)),
            escape(job.options.model or ""),
            f"{job.create_time.astimezone():%Y-%m-%d %H:%M}" if job.create_time else "",
        )
    reporter.result({"jobs": found}, table_text(table) if found else "no jobs")


def run_songs(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Delete the named songs, and list those that are left."""
    for upload_id in arguments.delete:
        client.delete_upload(upload_id)
    found = list(client.list_uploads())
    table = Table("song", "name", "length", "stored", "sent", box=None)
    for upload in found:
        audio = upload.audio
        table.add_row(
            upload.upload_id,
            escape(upload.file_name),
            f"{timedelta(seconds=audio.frames // audio.sample_rate_hz)}" if audio else "",
            megabytes(upload.stored_bytes),
            f"{upload.create_time.astimezone():%Y-%m-%d %H:%M}" if upload.create_time else "",
        )
    reporter.result({"songs": found}, table_text(table) if found else "no songs")


def run_usage(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Say how much is stored, and how much may be."""
    usage = client.usage()
    used = usage.upload_bytes + usage.stem_bytes
    reporter.result(
        {"usage": usage},
        f"{megabytes(used)} of {megabytes(usage.max_stored_bytes)}: songs {megabytes(usage.upload_bytes)}, "
        f"stems {megabytes(usage.stem_bytes)}\n{usage.uploads} of {usage.max_uploads} songs",
    )


def megabytes(size_bytes: int) -> str:
    """Write a size."""
    return f"{size_bytes / 1e6:,.1f} MB"


def run_models(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """List models; those that are told who plays only where all are asked for."""
    found = client.models()
    shown = [model for model in found if arguments.all or not model.is_of_ensembles]
    table = Table("model", "architecture", "sources", "rate", "parameters", "description", box=None)
    for model in shown:
        table.add_row(
            escape(model.name) + (" (default)" if model.is_default else ""),
            escape(model.architecture),
            escape(", ".join(model.sources)),
            f"{model.sample_rate_hz} Hz",
            f"{model.parameters:,}",
            escape(model.description),
        )
    left_out = len(found) - len(shown)
    closing = f"{left_out} more, for ensembles of orchestral instruments: --all" if left_out else ""
    reporter.result({"models": found}, table_text(table) if shown else "no models", closing=closing)


def table_text(table: Table) -> str:
    """Return a table as text, as wide as the terminal or as it needs where there is none."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
