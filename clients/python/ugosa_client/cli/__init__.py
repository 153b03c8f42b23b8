"""The `ugosa` command: songs to a UGOSA server and stems back, from a shell or a script."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import ugosa_client
from ugosa_client.cli import batch, jobs, marks, reaper_helper, separate, versions
from ugosa_client.cli.exit_codes import EXIT_CODES_HELP, ExitCode
from ugosa_client.cli.private_server import ensure_server
from ugosa_client.cli.reporter import make_reporter, report_error
from ugosa_client.client import UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_client.errors import UgosaClientError
from ugosa_client.identity import Identity, read_token
from ugosa_client.web import command as web

INVALID_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that proposes the nearest word for one that is no command, option or value."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; exit with 2 at an option that is nearly one of this command's, or a word too many."""
        namespace, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            option = word.partition("=")[0]
            near = difflib.get_close_matches(option, self._option_string_actions, n=2, cutoff=0.7)
            if option.startswith("-") and near and option not in self._option_string_actions:
                self.error(f"unknown option {option!r}; did you mean {' or '.join(map(repr, near))}?")
        if unknown and not unknown[0].startswith("-"):
            self.error(
                f"{unknown[0]!r} is one word too many; a name with spaces stands in quotes, and a value comes"
                " after its option, as in --marks FILE"
            )
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and exit with 2."""
        if match := INVALID_CHOICE.search(message):
            word, choices = match[1], re.findall(r"[^\s,']+", match[2])
            if near := difflib.get_close_matches(word, choices, n=1):
                message += f"; did you mean {near[0]!r}?"
        if message.endswith(("required: COMMAND", "required: ACTION")):
            message += f"; `{self.prog} --help` lists them"
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--server",
        metavar="ADDRESS",
        help="unix:/path/to/ugosa.sock or host:port (default: $UGOSA_SERVER, or this machine's socket; "
        "if nothing listens there, a server that is installed here is started)",
    )
    common.add_argument(
        "--json", action="store_true", help="JSON lines on stdout: one object an event, the last the result"
    )
    common.set_defaults(needs_server=True, retry=RetryPolicy())
    remote = common.add_argument_group("a server on another machine")
    remote.add_argument("--token-file", metavar="FILE", help="holds the token (default: $UGOSA_TOKEN)")
    remote.add_argument("--ca", metavar="FILE", help="PEM of who issued the server's certificate ($UGOSA_CA)")
    remote.add_argument("--cert", metavar="FILE", help="PEM of this client's certificate, if it is asked for")
    remote.add_argument("--key", metavar="FILE", help="PEM of the certificate's key")
    parser = Parser(
        prog="ugosa",
        description=__doc__,
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ugosa {ugosa_client.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (separate, marks, web, batch, jobs, versions, reaper_helper):
        group.add_commands(commands, common)
    for command in commands.choices.values():
        command.epilog = EXIT_CODES_HELP
        if command.formatter_class is argparse.HelpFormatter:
            command.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a song's name need not fit a terminal's encoding
    arguments = build_parser().parse_args(argv)
    reporter = make_reporter(arguments.json)
    try:
        identity = Identity(
            token=read_token(arguments.token_file) if arguments.token_file else None,
            ca_file=arguments.ca,
            certificate_file=arguments.cert,
            key_file=arguments.key,
        )
        if arguments.needs_server:
            ensure_server(arguments.server, reporter.say)
        with UgosaClient(arguments.server, retry=arguments.retry, identity=identity) as client:
            code: ExitCode | None = arguments.run(arguments, client, reporter)
        return int(code or ExitCode.OK)
    except BrokenPipeError:
        # Whoever read stdout has gone; give the interpreter's last flush somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.INTERRUPTED)
    except UnicodeEncodeError as error:  # bytes of an argument that are no text reach no server
        reporter.failed(ExitCode.BAD_INPUT, "", f"{error.object!r} is no text in UTF-8", {})
        return int(ExitCode.BAD_INPUT)
    except (UgosaClientError, OSError) as error:
        return int(report_error(error, reporter))
    except KeyboardInterrupt:
        reporter.failed(ExitCode.INTERRUPTED, "", "interrupted; jobs that were made go on at the server", {})
        return int(ExitCode.INTERRUPTED)
    finally:
        reporter.close()
