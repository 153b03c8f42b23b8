"""The `ugosa-server` command."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from ugosa_server import __version__
from ugosa_server.errors import UgosaError

EXIT_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="ugosa-server", description="Music source separation server.")
    parser.add_argument("--version", action="version", version=f"ugosa-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve(commands)
    _add_models(commands)
    _add_demo(commands)
    _add_train(commands)
    _add_token(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except UgosaError as error:
        print(f"ugosa-server: {error.message}", file=sys.stderr)
        return EXIT_USAGE
    return status


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
    parser.add_argument("--model", metavar="NAME", help="the default model, kept resident")
    parser.add_argument("--model-dir", action="append", metavar="DIR", help="a further folder with models")
    parser.add_argument("--state-dir", metavar="DIR", help="where jobs, songs and stems are kept")
    parser.add_argument("--osc", metavar="HOST:PORT", help="take OSC commands on this loopback address")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the network; 0 = all cores")
    parser.add_argument("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from ugosa_server.app import serve
    from ugosa_server.config import load_config

    config = load_config(
        options.config,
        {
            "listen": options.listen,
            "tls_cert": options.tls_cert,
            "tls_key": options.tls_key,
            "tls_client_ca": options.tls_client_ca,
            "device": options.device,
            "model": options.model,
            "model_dirs": options.model_dir,
            "state_dir": options.state_dir,
            "osc": options.osc,
            "threads": options.threads,
            "log_level": options.log_level,
        },
    )
    logging.basicConfig(
        level=config.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    asyncio.run(serve(config))
    return 0


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("models", help="list the separation networks that jobs can name")
    parser.add_argument("--model-dir", action="append", default=[], metavar="DIR", type=Path)
    parser.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> int:
    from ugosa_server.models.registry import ModelRegistry

    for model in ModelRegistry(options.model_dir).models():
        print(
            f"{model.name}: {model.architecture}, {model.parameters:,} parameters, {model.sample_rate_hz} Hz,"
            f" {', '.join(model.sources)}; sha256 {model.sha256[:12]}\n    {model.description}"
        )
    return 0


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="separate a real song through a real server and client")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from ugosa_server.demo import run_demo

    return run_demo(options.out)


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ugosa_server.training.commands import add_train_commands

    add_train_commands(commands)


def _add_token(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ugosa_server.token_commands import add_token_commands

    add_token_commands(commands)


if __name__ == "__main__":
    sys.exit(main())
