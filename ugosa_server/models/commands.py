"""`ugosa-server models`: list, pull, convert, verify, add. Imports torch only where it is needed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ugosa_server.errors import BadOptionError, UgosaError
from ugosa_server.models.published import PUBLISHED
from ugosa_server.models.registry import ModelRegistry, user_model_dir

if TYPE_CHECKING:
    from ugosa_server.models.download import DownloadProgress

MIRROR_VARIABLE = "UGOSA_MODEL_MIRROR"
LINE_INTERVAL_S = 1.0


def add_models_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` to the server's command line; alone it lists."""
    models = subparsers.add_parser("models", help="list, fetch, convert, check and add separation networks")
    models.set_defaults(run=list_models, model_dir=[])
    commands = models.add_subparsers(dest="models_command")
    dirs = argparse.ArgumentParser(add_help=False)
    dirs.add_argument(
        "--model-dir", action="append", default=[], metavar="DIR", type=Path, help="further models"
    )
    into = argparse.ArgumentParser(add_help=False)
    into.add_argument(
        "--into",
        type=Path,
        metavar="DIR",
        help="where models are kept (default: $XDG_DATA_HOME/ugosa/models or ~/.local/share/ugosa/models)",
    )

    def add(
        name: str, parent: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], help: str
    ) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, parents=[parent], help=help)
        parser.set_defaults(run=run)
        return parser

    add("list", dirs, list_models, "the models that jobs can name, and those that can be pulled")

    pull = add("pull", into, pull_model, "fetch published weights once; they work offline from then on")
    pull.add_argument("name", choices=sorted(PUBLISHED))
    pull.add_argument(
        "--mirror",
        default=os.environ.get(MIRROR_VARIABLE),
        metavar="URL",
        help=f"folder with the same files as their publishers' (default: ${MIRROR_VARIABLE})",
    )
    pull.add_argument(
        "--allow-http",
        action="store_true",
        help="take a mirror without https; whoever is between can then send other weights",
    )

    convert = add(
        "convert",
        into,
        convert_model,
        "convert a ConvTasNet of demucs 1, 2 or 3, or a Conditioned U-Net, to a model",
    )
    convert.add_argument("file", type=Path, help="usually *.th")
    convert.add_argument("--name", required=True, help="what jobs will call it")
    convert.add_argument(
        "--sha256",
        metavar="HEX",
        help="of the file, at least 32 digits; needed if it names its network's class",
    )
    convert.add_argument("--sources", metavar="A,B,...", help="names of its outputs, if the file lacks them")
    convert.add_argument(
        "--cunet",
        metavar="NAME=VALUE,...",
        type=_choices,
        help="the file is a Conditioned U-Net of its authors, with these settings, which it does not record: "
        "frequency_scale=log|linear, value_scale=db|log, mask=binary|ratio, conditioning=label-multiply "
        "(left out: their baseline; `--cunet baseline` leaves all out)",
    )

    verify = add("verify", dirs, verify_models, "read models whole and check sizes, numbers and digest")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")

    from_demucs = add("add", into, add_model, "add a model of a local demucs repository")
    from_demucs.add_argument("demucs_name", metavar="MODEL", help="a bag such as htdemucs_ft, or a signature")
    from_demucs.add_argument(
        "--repo", type=Path, required=True, metavar="DIR", help="folder with its .th and .yaml files"
    )
    from_demucs.add_argument("--name", help="what jobs will call it (default: MODEL)")


def list_models(options: argparse.Namespace) -> int:
    """Print the installed models, then those that can be pulled."""
    registry = ModelRegistry(options.model_dir)
    for model in registry.models():
        print(
            f"{model.name}: {model.architecture}, {model.parameters:,} parameters, {model.sample_rate_hz} Hz,"
            f" {', '.join(model.sources)}; sha256 {model.sha256[:12]}\n    {model.description}"
        )
    here = {model.name for model in registry.models()}
    for weights in PUBLISHED.values():
        if weights.name not in here:
            print(
                f"{weights.name}: {', '.join(weights.sources)}; not here yet: ugosa-server models pull"
                f" {weights.name}\n    {weights.description}"
            )
    return 0


def pull_model(options: argparse.Namespace) -> int:
    """Download and convert published weights, with progress on stderr."""
    from ugosa_server.models.collection import pull
    from ugosa_server.models.download import is_safe

    if options.mirror and not is_safe(options.mirror) and not options.allow_http:
        raise BadOptionError(
            f"the mirror {options.mirror} is not https, so that whoever is between could send other weights;"
            " use https, or say --allow-http"
        )
    weights = PUBLISHED[options.name]

    def say(sentence: str) -> None:
        print(f"{weights.name}: {sentence}", file=sys.stderr, flush=True)

    folder = options.into or user_model_dir()
    _show(pull(weights, folder, options.mirror, say))
    print(folder / f"{weights.name}.safetensors")
    return 0


def convert_model(options: argparse.Namespace) -> int:
    """Convert one file."""
    from ugosa_server.models.collection import convert

    path = _new_path(options, options.name)
    sources = options.sources.split(",") if options.sources else None
    convert(options.file, path, options.sha256, sources, choices=options.cunet)
    print(path)
    return 0


def add_model(options: argparse.Namespace) -> int:
    """Add one model of demucs."""
    from ugosa_server.models.collection import add_from_demucs

    path = _new_path(options, options.name or options.demucs_name)
    add_from_demucs(options.repo, options.demucs_name, path)
    print(path)
    return 0


def verify_models(options: argparse.Namespace) -> int:
    """Check models one by one; return 1 if any is bad."""
    from ugosa_server.models.collection import verify

    registry = ModelRegistry(options.model_dir)
    models = [registry.get(name) for name in options.names] or registry.models()
    status = 0
    for model in models:
        try:
            print(f"{model.name}: {verify(model)}")
        except UgosaError as error:
            print(f"{model.name}: {error.message}", file=sys.stderr)
            status = 1
    return status


def _choices(text: str) -> dict[str, str]:
    """Read "mask=ratio,value_scale=log"; "baseline" chooses nothing."""
    pairs = [item.partition("=") for item in text.split(",") if item and item != "baseline"]
    if not all(separator and value for _, separator, value in pairs):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE,... or baseline, got {text!r}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _new_path(options: argparse.Namespace, name: str) -> Path:
    if not name or name.startswith(".") or Path(name).name != name:
        raise BadOptionError(f"a model's name is a file name without folders, got {name!r}")
    path: Path = (options.into or user_model_dir()) / f"{name}.safetensors"
    if path.exists():
        raise BadOptionError(
            f"there is a model {name!r} already, at {path}; take another --name or delete it"
        )
    return path


def _show(progress: Iterable[DownloadProgress]) -> None:
    """Print one line a second, and one at the end."""
    shown_s = -LINE_INTERVAL_S
    for state in progress:
        now_s = time.monotonic()
        if now_s - shown_s < LINE_INTERVAL_S and state.bytes_done != state.bytes_total:
            continue
        shown_s = now_s
        of = f" of {state.bytes_total / 1e6:.1f}" if state.bytes_total is not None else ""
        print(f"{state.bytes_done / 1e6:.1f}{of} MB", file=sys.stderr, flush=True)
