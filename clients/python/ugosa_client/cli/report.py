"""`ugosa report`: the page of a job, made on demand."""

from __future__ import annotations

import argparse
from typing import Any

from ugosa_client.cli.job_options import add_lossy_format, add_name, stem_files
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parser of this file."""
    report = commands.add_parser("report", parents=[common], help="get the page of a job, beside its stems")
    report.add_argument("job_id", metavar="JOB")
    report.add_argument("-o", "--out", required=True, metavar="DIR", help="directory of the job's stems")
    report.add_argument(
        "--takes",
        action="store_true",
        help="with the stems of the model as it is, without your marks and under them, in DIR/takes",
    )
    add_name(report)
    add_lossy_format(report)
    report.set_defaults(run=run_report)


def run_report(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Get the page."""
    page = client.fetch_page(
        arguments.job_id,
        arguments.out,
        all_takes=arguments.takes,
        stem_files=stem_files(arguments),
        on_event=reporter.happened,
        on_fetch=reporter.fetched,
    )
    reporter.result({"job_id": arguments.job_id, "files": [str(page)]}, str(page))
