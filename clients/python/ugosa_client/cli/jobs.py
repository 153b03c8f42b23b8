"""The server's contents: jobs watched, fetched, steered and deleted, and its lists."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ugosa_client.cli.job_options import add_lossy_format, add_name, stem_files
from ugosa_client.cli.reporter import Reporter
from ugosa_client.cli.separate import add_out
from ugosa_client.client import UgosaClient
from ugosa_client.jobs import require_success
from ugosa_client.resources import Job, JobState


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""

    def add(
        name: str, run: Callable[..., None], text: str, *, of_job: bool = True
    ) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(name, parents=[common], help=text)
        if of_job:
            command.add_argument("job_id", metavar="JOB")
        command.set_defaults(run=run)
        return command

    watch = add("watch", run_watch, "show a job's progress up to its end")
    watch.add_argument("--after", type=_count, default=0, metavar="SEQ", help="only events after this number")

    fetch = add("fetch", run_fetch, "get the stems and the report of a job")
    add_out(fetch, required=True)
    add_name(fetch)
    add_lossy_format(fetch)

    report = add("report", run_report, "get the page of a job, beside its stems")
    report.add_argument("-o", "--out", required=True, metavar="DIR", help="directory of the job's stems")
    report.add_argument("--overwrite", action="store_true", help="replace a report in DIR that others wrote")
    report.add_argument(
        "--takes",
        action="store_true",
        help="with the stems of the model as it is, without your marks and under them, in DIR/takes",
    )
    add_name(report)
    add_lossy_format(report)

    adapter = commands.add_parser("adapter", help="get what a job has learned as a file")
    get = adapter.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "get", parents=[common], help="write it to a file, for `ugosa separate --start-from FILE`"
    )
    get.add_argument("job_id", metavar="JOB")
    get.add_argument("-o", "--out", metavar="FILE", help="file (default: SONG.ugosa in this folder)")
    get.add_argument("--overwrite", action="store_true", help="replace the file")
    get.set_defaults(run=run_adapter)

    add("cancel", run_ask, "ask a job to end")
    add("accept", run_ask, "have a job learn no more and go on to the stems")
    add("delete", run_delete, "delete an ended job with its stems")

    jobs = add("jobs", run_jobs, "list jobs, newest first", of_job=False)
    jobs.add_argument(
        "--state",
        action="append",
        default=[],
        choices=[state.value for state in JobState],
        metavar="STATE",
        help="only these",
    )
    jobs.add_argument("--limit", type=_count, default=50, metavar="N", help="at most N, default %(default)s")

    songs = add("songs", run_songs, "list songs at the server, newest first", of_job=False)
    songs.add_argument("--delete", action="append", default=[], metavar="SONG", help="delete this one first")

    add("usage", run_usage, "say how much you store at the server", of_job=False)

    models = add("models", run_models, "list separation networks", of_job=False)
    models.add_argument("--all", action="store_true", help="those for ensembles of instruments too")


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
    job = require_success(client.get_job(arguments.job_id))
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


def run_report(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Get the page."""
    page = client.fetch_page(
        arguments.job_id,
        arguments.out,
        all_takes=arguments.takes,
        overwrite=arguments.overwrite,
        stem_files=stem_files(arguments),
        on_event=reporter.happened,
        on_fetch=reporter.fetched,
    )
    reporter.result({"job_id": arguments.job_id, "files": [str(page)]}, str(page))


def run_adapter(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Write the adapter."""
    path = client.fetch_adapter(arguments.job_id, arguments.out, overwrite=arguments.overwrite)
    reporter.result({"job_id": arguments.job_id, "files": [str(path)]}, str(path))


def run_ask(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Ask the job to end, or to take what it has learned."""
    job = (client.cancel if arguments.command == "cancel" else client.accept)(arguments.job_id)
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
            minute_text(job.create_time),
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
            minute_text(upload.create_time),
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


def minute_text(time: datetime | None) -> str:
    """Write a time by this machine's clock; empty for none."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}" if time else ""


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
