"""Command line of `ugosa-server`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import sys
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

from ugosa_server import __version__
from ugosa_server.backup import add_backup_command
from ugosa_server.config import ServerConfig, default_text, load_config, settings_help
from ugosa_server.errors import BadOptionError, UgosaError, did_you_mean, reason_of
from ugosa_server.log import start_logging
from ugosa_server.models.commands import add_models_commands
from ugosa_server.tokens import add_token_commands
from ugosa_server.video.commands import add_video_commands

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
COMMANDS_GROUP = "ugosa_server.commands"  # entry points: functions that add a sub-command
INVALID_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
RESEARCH_COMMANDS = {
    "train": "make training data, or train a network",
    "evaluate": "the paper's experiment, on songs whose stems are known",
}


class Parser(argparse.ArgumentParser):
    """A parser that proposes the nearest word for one that is no command or option."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; exit with 2 at an option that is nearly one of this command's."""
        namespace, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            option = word.partition("=")[0]
            hint = did_you_mean(option, self._option_string_actions)
            if option.startswith("-") and hint:
                self.error(f"unknown option {option!r}; {hint}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and exit with 2."""
        match = INVALID_CHOICE.search(message)
        hint = did_you_mean(match[1], re.findall(r"[^\s,']+", match[2])) if match else ""
        super().error(f"{message}; {hint}" if hint else message)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words[0] if words else None).parse_args(words)
    try:
        status: int = options.run(options)
    except UgosaError as error:
        print(f"ugosa-server: {error.message}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:  # of a path that the user named, or of the disk under it
        if options.command == "serve":
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"ugosa-server: {place}{reason_of(error)}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


def _parser(command: str | None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="ugosa-server", description="Music source separation server."
    )
    parser.add_argument("--version", action="version", version=f"ugosa-server {__version__}")
    commands: argparse._SubParsersAction[Any] = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve", help="run the server until SIGTERM, then drain it")
    _add_settings(server)
    server.set_defaults(run=_serve)
    add_models_commands(commands)
    add_video_commands(commands)
    demo = commands.add_parser("demo", help="separate a real song through a real server and client")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    demo.add_argument("--model-dir", action="append", default=[], metavar="DIR", help="as for serve")
    demo.add_argument("--web", action="store_true", help="then open it in a browser (ugosa-client[web])")
    demo.set_defaults(run=_demo)
    add_token_commands(commands)
    add_backup_command(commands)
    doctor = commands.add_parser(
        "doctor", help="check device, models, disk and addresses, and separate one second of noise"
    )
    _add_settings(doctor)
    doctor.add_argument("--json", action="store_true", help="one JSON object a finding")
    doctor.set_defaults(run=_doctor)
    _add_installed(commands, command)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and a flag for every setting, with the names of lists in the singular."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; flags come on top")
    for setting, text in settings_help().items():
        several = str(setting.type).startswith("tuple")
        flag = setting.name.removesuffix("s") if several else setting.name
        default = default_text(setting)
        how: dict[str, Any] = {"metavar": flag.rpartition("_")[2].upper()}
        if several:
            how["action"] = "append"
            text += " May be given several times."
        elif isinstance(setting.default, bool):
            how = {"action": argparse.BooleanOptionalAction}
        elif isinstance(setting.default, int | float):
            how["type"] = type(setting.default)
        text += f" (default: {default})" if default else ""
        name = f"--{flag.replace('_', '-')}"
        parser.add_argument(name, dest=setting.name, default=None, help=text.replace("%", "%%"), **how)


def _config(options: argparse.Namespace) -> ServerConfig:
    return load_config(
        options.config, {field.name: getattr(options, field.name) for field in fields(ServerConfig)}
    )


def _serve(options: argparse.Namespace) -> int:
    from ugosa_server.serve import serve

    config = _config(options)
    start_logging(config.log_level, config.log_format)

    async def serve_to_the_end() -> int:
        failure = await serve(config)
        if failure:
            print(f"ugosa-server: stopped, because {failure}; the log has the details", file=sys.stderr)
        status = EXIT_FAILURE if failure else 0
        if len(asyncio.all_tasks()) > 1:  # gRPC still waits for a connection that takes nothing
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status

    return asyncio.run(serve_to_the_end())


def _demo(options: argparse.Namespace) -> int:
    from ugosa_server.demo import run_demo

    return run_demo(options.out, options.model_dir, opens_page=options.web)


def _add_installed(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], command: str | None
) -> None:
    """Add the commands of other distributions; explain those that are not installed."""
    installed = {entry.name: entry for entry in entry_points(group=COMMANDS_GROUP)}
    for name in sorted({*RESEARCH_COMMANDS, *installed}):
        if name == command and name in installed:  # loaded only then: it brings torch
            installed[name].load()(commands)
            continue
        parser = commands.add_parser(
            name, help=RESEARCH_COMMANDS.get(name, f"of {name}"), prefix_chars=" ", add_help=False
        )
        parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
        parser.set_defaults(run=_explain_research, command_name=name)


def _explain_research(options: argparse.Namespace) -> int:
    raise BadOptionError(
        f"`ugosa-server {options.command_name}` is part of ugosa-research, which is not installed; "
        "in a checkout of the project: pip install ./research"
    )


def _doctor(options: argparse.Namespace) -> int:
    from ugosa_server.doctor import examine, report

    return report(examine(_config(options)), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
