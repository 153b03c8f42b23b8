"""The `ugosa-server` command."""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib.metadata import entry_points
from pathlib import Path

from ugosa_server import __version__
from ugosa_server.errors import BadOptionError, UgosaError

EXIT_USAGE = 2
COMMANDS_GROUP = "ugosa_server.commands"  # entry points: functions that add a sub-command
RESEARCH_COMMANDS = {
    "train": "make training data, or train a network",
    "evaluate": "the paper's experiment, on songs whose stems are known",
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="ugosa-server", description="Music source separation server.")
    parser.add_argument("--version", action="version", version=f"ugosa-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve(commands)
    _add_models(commands)
    _add_video(commands)
    _add_demo(commands)
    _add_token(commands)
    _add_doctor(commands)
    words = sys.argv[1:] if arguments is None else arguments
    _add_installed(commands, words[0] if words else None)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except UgosaError as error:
        print(f"ugosa-server: {error.message}", file=sys.stderr)
        return EXIT_USAGE
    return status


def _add_video(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ugosa_server.video.commands import add_video_commands

    add_video_commands(commands)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("serve", help="run the server until SIGTERM, then drain it")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; options come on top")
    parser.add_argument(
        "--listen",
        action="append",
        metavar="unix:PATH|HOST:PORT",
        help="may be given several times (default: a Unix socket of this user); beyond loopback it needs TLS",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM certificate: every HOST:PORT speaks TLS")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM key of the certificate")
    parser.add_argument("--tls-client-ca", metavar="FILE", help="PEM of who issues clients' certificates")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N", help="what the network computes on")
    parser.add_argument("--engine", metavar="local|ray", help="one worker here, or workers on a Ray cluster")
    parser.add_argument(
        "--ray-address",
        metavar="HOST:PORT|auto|embedded",
        help="the Ray cluster, or an own one",
    )
    parser.add_argument("--ray-workers", type=int, metavar="N", help="0 = one for each GPU or CPU slot")
    parser.add_argument("--model", metavar="NAME", help="the default model, kept resident")
    parser.add_argument("--model-dir", action="append", metavar="DIR", help="a further folder with models")
    parser.add_argument("--state-dir", metavar="DIR", help="where jobs, songs and stems are kept")
    parser.add_argument("--osc", metavar="HOST:PORT", help="take OSC commands on this loopback address")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the network; 0 = all cores")
    parser.add_argument("--metrics", metavar="HOST:PORT", help="answer Prometheus on this loopback address")
    parser.add_argument("--log-format", metavar="plain|json", help="of the log on stderr")
    parser.add_argument("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from ugosa_server.config import load_config
    from ugosa_server.log import start_logging
    from ugosa_server.serve import serve

    config = load_config(
        options.config,
        {
            "listen": options.listen,
            "tls_cert": options.tls_cert,
            "tls_key": options.tls_key,
            "tls_client_ca": options.tls_client_ca,
            "device": options.device,
            "engine": options.engine,
            "ray_address": options.ray_address,
            "ray_workers": options.ray_workers,
            "model": options.model,
            "model_dirs": options.model_dir,
            "state_dir": options.state_dir,
            "osc": options.osc,
            "threads": options.threads,
            "metrics": options.metrics,
            "log_format": options.log_format,
            "log_level": options.log_level,
        },
    )
    start_logging(config.log_level, config.log_format)
    asyncio.run(serve(config))
    return 0


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ugosa_server.models.commands import add_models_commands

    add_models_commands(commands)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="separate a real song through a real server and client")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from ugosa_server.demo import run_demo

    return run_demo(options.out)


def _add_token(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ugosa_server.tokens import add_token_commands

    add_token_commands(commands)


def _add_installed(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], command: str | None
) -> None:
    """Add the commands of other distributions, and say how to get those that are not installed."""
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


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor", help="check device, models, disk and addresses, and separate one second of noise"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of the server")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N", help="as for serve")
    parser.add_argument("--model", metavar="NAME", help="as for serve")
    parser.add_argument("--model-dir", action="append", metavar="DIR", help="as for serve")
    parser.add_argument("--state-dir", metavar="DIR", help="as for serve")
    parser.add_argument("--listen", action="append", metavar="unix:PATH|HOST:PORT", help="as for serve")
    parser.add_argument("--json", action="store_true", help="one JSON object a finding")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from ugosa_server.config import load_config
    from ugosa_server.doctor import examine, report

    config = load_config(
        options.config,
        {
            "device": options.device,
            "model": options.model,
            "model_dirs": options.model_dir,
            "state_dir": options.state_dir,
            "listen": options.listen,
        },
    )
    return report(examine(config), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
