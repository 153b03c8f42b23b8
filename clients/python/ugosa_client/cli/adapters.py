"""`ugosa adapter`: what jobs have learned, as files."""

from __future__ import annotations

import argparse
from typing import Any

from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parser of this file."""
    adapter = commands.add_parser("adapter", help="get what a job has learned as a file")
    actions = adapter.add_subparsers(dest="action", required=True, metavar="ACTION")
    get = actions.add_parser(
        "get",
        parents=[common],
        help="write it to a file, for `ugosa separate --start-from FILE`",
    )
    get.add_argument("job_id", metavar="JOB")
    get.add_argument("-o", "--out", metavar="FILE", help="file (default: SONG.ugosa in this folder)")
    get.add_argument("--overwrite", action="store_true", help="replace the file")
    get.set_defaults(run=run_get)


def run_get(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Write the adapter."""
    path = client.fetch_adapter(arguments.job_id, arguments.out, overwrite=arguments.overwrite)
    reporter.result({"job_id": arguments.job_id, "files": [str(path)]}, str(path))
