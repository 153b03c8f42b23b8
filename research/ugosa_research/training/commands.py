"""`ugosa-server train`: data, songs, convtasnet, band-decoder, measure and export."""

from __future__ import annotations

import argparse
from pathlib import Path

from ugosa_research.training.cunet.commands import add_cunet_commands
from ugosa_server.errors import ConfigError

MEASURED_SONG_S = 12.0
MEASURED_REAL_S = 30.0


def add_train_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the server's command line; each command sets `run`, which takes the arguments."""
    train = subparsers.add_parser("train", help="make training data, or train a network")
    commands = train.add_subparsers(dest="train_command", required=True)

    data = commands.add_parser("data", help="build the sampler bank that training songs are made from")
    data.add_argument("--out", type=Path, required=True, help="folder of the bank; a second call resumes")
    data.add_argument("--voices", type=Path, required=True, help="folder with one UTAU voicebank a folder")
    data.add_argument(
        "--recordings", type=Path, metavar="FOLDER", help="recorded notes and kits, see recordings.py"
    )
    data.set_defaults(run=build_data)

    songs = commands.add_parser("songs", help="render real songs with true stems, from projects of LMMS")
    songs.add_argument("--out", type=Path, required=True, help="folder of the songs; a second call resumes")
    songs.add_argument("--part", choices=("train", "test"), help="to learn from or to test with (both)")
    songs.set_defaults(run=render_real_songs)

    for name, trained in (("convtasnet", "a ConvTasNet"), ("band-decoder", "the decoder of `band`")):
        network = commands.add_parser(name, help=f"train {trained}; a second call resumes")
        network.add_argument("--config", type=Path, required=True, help="TOML file, see training_config.py")
        network.add_argument(
            "--bank", type=Path, default=Path("bank"), help="folder of `train data` (./bank)"
        )
        network.add_argument("--out", type=Path, required=True, help="folder of the run")
        network.add_argument(
            "--tensorboard", action="store_true", help="also write OUT/tensorboard (extra `tensorboard`)"
        )
        network.set_defaults(run=train_network)

    add_cunet_commands(commands)

    measure = commands.add_parser("measure", help="score a model on held-out songs, beside two references")
    measure.add_argument("--model", type=Path, required=True, help="a model file")
    measure.add_argument("--bank", type=Path, default=Path("bank"), help="folder of `train data` (./bank)")
    measure.add_argument("--songs", type=int, default=24, help="number of held-out songs (24)")
    measure.add_argument(
        "--real", type=Path, metavar="FOLDER", help="of real songs instead, as `train songs` makes them"
    )
    measure.add_argument(
        "--wiener", type=float, metavar="EXPONENT", help="as in jobs (what the model states, else 0)"
    )
    measure.set_defaults(run=measure_model)

    export = commands.add_parser("export", help="write a run's weights as a model file")
    export.add_argument("--run", dest="folder", type=Path, required=True, help="folder of the run")
    export.add_argument(
        "--weights", choices=("best", "last"), default="best", help="best validated (default)"
    )
    export.add_argument(
        "--to", type=Path, required=True, help="the model file, NAME.safetensors; of a band its decoder"
    )
    export.add_argument("--description", default="", help="one line for people who list models")
    export.add_argument("--adaptation", default="{}", help="JSON object of adaptation options that suit it")
    export.add_argument("--separation", default="{}", help="JSON object of separation options that suit it")
    export.set_defaults(run=export_model)


def build_data(arguments: argparse.Namespace) -> int:
    """Build the bank, kind by kind."""
    try:
        from ugosa_research.songs.bank.build import build_bank
    except ModuleNotFoundError as error:
        raise ConfigError(f"training data need {error.name}: pip install 'ugosa-research[train]'") from error

    for progress in build_bank(arguments.out, arguments.voices, arguments.recordings):
        print(f"{progress.done}/{progress.of} {progress.name}", flush=True)
    return 0


def render_real_songs(arguments: argparse.Namespace) -> int:
    """Render songs to train and to test with, saying each."""
    from ugosa_research.songs.lmms_songs import PARTS, render_songs

    for folder in render_songs(arguments.out, [arguments.part] if arguments.part else PARTS):
        print(folder, flush=True)
    return 0


def train_network(arguments: argparse.Namespace) -> int:
    """Train, showing progress and writing a line a report to `log.jsonl`."""
    from ugosa_research.training.band_decoder import DecoderTraining
    from ugosa_research.training.convtasnet import ConvTasNetTraining
    from ugosa_research.training.display import on_tensorboard, shown
    from ugosa_research.training.run import run_training, view
    from ugosa_research.training.training_config import load_training_config

    training = DecoderTraining if arguments.train_command == "band-decoder" else ConvTasNetTraining
    config = load_training_config(arguments.config)
    arguments.out.mkdir(parents=True, exist_ok=True)
    reports = run_training(training(config), arguments.bank, arguments.out)
    if arguments.tensorboard:
        reports = on_tensorboard(reports, arguments.out / "tensorboard", view)
    for _ in shown(reports, config.steps, view, arguments.out / "log.jsonl"):
        pass
    return 0


def measure_model(arguments: argparse.Namespace) -> int:
    """Print the median SDR by source of equal masks, the model, what the server returns, and oracle masks."""
    from ugosa_research.songs.bank.pools import load_bank
    from ugosa_research.songs.stem_songs import read_stem_songs
    from ugosa_research.training.measure import measure
    from ugosa_research.training.validation import validation_songs
    from ugosa_server.models.checkpoints import load_checkpoint
    from ugosa_server.models.network import build_network
    from ugosa_server.models.registry import read_model_info

    config, state = load_checkpoint(arguments.model)
    network = build_network(config)
    network.load_state_dict(state)
    if arguments.real is not None:
        songs = [song.middle(MEASURED_REAL_S) for song in read_stem_songs(arguments.real).songs]
    else:
        songs = validation_songs(load_bank(arguments.bank), arguments.songs, MEASURED_SONG_S)
    exponent = arguments.wiener
    if exponent is None:
        exponent = float(read_model_info(arguments.model).separation_defaults.get("wiener_exponent") or 0.0)
    for measured in measure(network, songs, exponent):
        figures = "  ".join(f"{source} {value:5.2f}" for source, value in measured.median_db.items())
        print(f"{measured.system:20} {figures}")
    return 0


def export_model(arguments: argparse.Namespace) -> int:
    """Write weights in float16 and say their figures and hash."""
    from ugosa_research.training.export import export_weights

    exported = export_weights(
        arguments.folder,
        arguments.to,
        arguments.description,
        arguments.adaptation,
        arguments.weights,
        arguments.separation,
    )
    figures = ", ".join(f"{source} {value:.2f}" for source, value in exported.validation_db.items())
    print(f"{exported.path}: step {exported.steps}, held-out SDR in dB {figures}, sha256 {exported.sha256}")
    return 0
