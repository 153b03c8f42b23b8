"""`ugosa-server evaluate generate`, `prepare`, `run`, `table` and `suggestions`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ugosa_research.evaluation.cunet.commands import add_cunet_command
from ugosa_server.config import WorkerSettings
from ugosa_server.errors import BadOptionError

if TYPE_CHECKING:
    from ugosa_research.evaluation.windows import Windows

DEFAULT_METHODS = "B0,B-L3:D,P-L1:D,P-L2:D,P-L3:D,P-L4:D,P-L5:D"


def add_evaluate_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `evaluate` to the server's command line; each command sets `run`, which takes the arguments."""
    evaluate = subparsers.add_parser(
        "evaluate", help="the paper's experiment, on songs whose stems are known"
    )
    commands = evaluate.add_subparsers(dest="evaluate_command", required=True)
    _add_generate(commands)
    _add_prepare(commands)
    _add_run(commands)
    _add_table(commands)
    _add_suggestions(commands)
    add_cunet_command(commands)


def _add_generate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("generate", help="make songs with stems from a sampler bank")
    parser.add_argument("--bank", type=Path, default=Path("bank"), metavar="DIR", help="(./bank)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the songs")
    parser.add_argument(
        "--split",
        choices=("held-out", "training"),
        default="held-out",
        help="held-out: sounds that no shipped network was trained on; training: songs to choose options on",
    )
    parser.add_argument("--songs", type=int, default=10, metavar="N")
    parser.add_argument("--seconds", type=float, default=40.0, metavar="N", help="length of each (40)")
    parser.set_defaults(run=generate_songs)


def _add_prepare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "prepare",
        help="silence a quarter of each stem, sum, and mark",
        description="Reads MUSDB18 (.stem.mp4), MUSDB18-HQ, or any folder of songs with stems. A second call "
        "goes on where the first one stopped.",
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="folder with songs; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the prepared songs")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of segments and careless marks (0)")
    parser.add_argument(
        "--theta",
        type=float,
        default=0.15,
        help="level at which a source is active (0.15; authors' code: 0.01)",
    )
    parser.add_argument(
        "--max-seconds", type=float, metavar="N", help="take an excerpt from the middle of longer songs"
    )
    parser.add_argument("--max-songs", type=int, metavar="N", help="take the first songs only (paper: 10)")
    parser.add_argument("--no-silence", action="store_true", help="keep the stems as they are")
    parser.set_defaults(run=prepare_songs)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        help="separate all songs with all methods and score the results",
        description="Goes on where an earlier call stopped; further methods can be added to the same folder. "
        "Lists (lambda, segment, ...) make a grid with the adapting methods. Keep sweeps in folders of their "
        "own: tables hold only songs that all methods of their folder have done.",
    )
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="prepared songs")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--methods", default=DEFAULT_METHODS, metavar="LIST", help=f"({DEFAULT_METHODS})")
    parser.add_argument(
        "--model", default="starter", metavar="NAME", help="network in the registry (starter)"
    )
    parser.add_argument("--model-dir", action="append", default=[], type=Path, metavar="DIR")
    parser.add_argument("--preset", metavar="NAME", help="adaptation options; default: the model's own")
    parser.add_argument("--lambda", dest="silence_weight", type=_floats, default=[], metavar="LIST")
    parser.add_argument(
        "--segment", dest="segment_s", type=_floats, default=[], metavar="LIST", help="seconds"
    )
    parser.add_argument("--learning-rate", type=_floats, default=[], metavar="LIST")
    parser.add_argument("--epochs", type=_integers, default=[], metavar="LIST")
    parser.add_argument(
        "--marks-weight", type=_floats, default=[], metavar="LIST", help="of Eq. 2 in R- strategies"
    )
    parser.add_argument("--guard", type=_switches, default=[], metavar="off,on")
    parser.add_argument(
        "--shifts", type=int, default=0, metavar="N", help="averaged time shifts (authors: 10)"
    )
    parser.add_argument(
        "--wiener", type=float, default=0.0, metavar="EXPONENT", help="as in jobs (0: none, as the authors)"
    )
    parser.add_argument(
        "--marks", choices=("exact", "human"), default="exact", help="exact, or made careless"
    )
    parser.add_argument(
        "--windows",
        default="authors",
        metavar="W/H",
        help="authors (2 s/1.5 s), sisec (1 s/1 s), or e.g. 2/1.5",
    )
    parser.add_argument(
        "--bss-eval",
        choices=("own", "museval", "none"),
        default="own",
        help="own: windows count for every source that sounds there; museval: its rules; none: plain metrics",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda:N")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of each run (1)")
    parser.set_defaults(run=run_methods)


def _add_table(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "table", help="print the tables of results that there are, and write the files"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.set_defaults(run=print_table)


def _add_suggestions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "suggestions", help="F1 of suggested marks against the annotation of the stems"
    )
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="prepared songs")
    parser.add_argument(
        "--model", default="starter", metavar="NAME", help="network in the registry (starter)"
    )
    parser.add_argument("--model-dir", action="append", default=[], type=Path, metavar="DIR")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda:N")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (0 = all)")
    parser.set_defaults(run=score_suggestions)


def generate_songs(arguments: argparse.Namespace) -> int:
    """Write songs, a line each."""
    from ugosa_research.evaluation.generated_songs import write_generated_songs

    for folder in write_generated_songs(
        arguments.bank, arguments.out, arguments.split, arguments.songs, arguments.seconds
    ):
        print(folder, flush=True)
    return 0


def prepare_songs(arguments: argparse.Namespace) -> int:
    """Prepare songs, a line each."""
    from ugosa_research.evaluation.datasets import find_songs, with_names_apart
    from ugosa_research.evaluation.preparation import PreparationOptions, prepare

    found = [song for folder in arguments.dataset for song in find_songs(folder)]
    songs = with_names_apart(found)[: arguments.max_songs]
    options = PreparationOptions(
        seed=arguments.seed,
        theta=arguments.theta,
        max_seconds=arguments.max_seconds,
        silence=not arguments.no_silence,
    )
    for number, song in enumerate(prepare(songs, arguments.out, options), start=1):
        stems = ", ".join(stem.name for stem in song.stems)
        print(
            f"{number}/{len(songs)} {song.name}: {song.frames / song.sample_rate_hz:.1f} s, {stems}",
            flush=True,
        )
    return 0


def run_methods(arguments: argparse.Namespace) -> int:
    """Run the experiment, a line a run; then print the tables."""
    from ugosa_research.evaluation.experiment import ExperimentOptions, run_experiment
    from ugosa_research.evaluation.methods import grid
    from ugosa_research.evaluation.preparation import prepared_songs
    from ugosa_research.evaluation.song_scores import ScoringOptions
    from ugosa_server.jobs.options import check_separation
    from ugosa_server.models.registry import ModelRegistry
    from ugosa_server.separation.options import SeparationOptions

    methods = grid(
        arguments.methods.split(","),
        {
            name: getattr(arguments, name)
            for name in ("silence_weight", "segment_s", "learning_rate", "epochs", "marks_weight", "guard")
        },
    )
    separation = SeparationOptions(shifts=arguments.shifts, wiener_exponent=arguments.wiener)
    check_separation(separation)
    options = ExperimentOptions(
        model=ModelRegistry(arguments.model_dir).get(arguments.model),
        scoring=ScoringOptions(_windows(arguments.windows), arguments.bss_eval),
        preset=arguments.preset,
        separation=separation,
        marks=arguments.marks,
        seed=arguments.seed,
        device=arguments.device,
        threads=arguments.threads,
        jobs=arguments.jobs,
    )
    failures = 0
    for run in run_experiment(prepared_songs(arguments.dataset), methods, options, arguments.out):
        failures += run.error is not None
        print(
            f"{run.done}/{run.of} {run.song}: {run.method}" + (f" FAILED: {run.error}" if run.error else ""),
            flush=True,
        )
    _write_and_print(arguments.out)
    return 1 if failures else 0


def print_table(arguments: argparse.Namespace) -> int:
    """Print the tables of an experiment, and write them, the CSV, the JSON and the figures."""
    _write_and_print(arguments.out)
    return 0


def score_suggestions(arguments: argparse.Namespace) -> int:
    """Have every song heard, and print the table."""
    from ugosa_research.evaluation.preparation import prepared_songs
    from ugosa_research.evaluation.suggestion_scores import score_dataset, suggestion_table
    from ugosa_server.models.registry import ModelRegistry
    from ugosa_server.pipeline.resident import ResidentNetworks

    model = ModelRegistry(arguments.model_dir).get(arguments.model)
    networks = ResidentNetworks(WorkerSettings(arguments.device, threads=arguments.threads))
    scores = list(score_dataset(prepared_songs(arguments.dataset), model, networks))
    print(suggestion_table(scores))
    return 0


def _write_and_print(out: Path) -> None:
    from ugosa_research.evaluation.figures import write_figures
    from ugosa_research.evaluation.guard_table import guard_table
    from ugosa_research.evaluation.paper_table import comparison_table, plain_table, table_1
    from ugosa_research.evaluation.results import read_results, write_csv, write_json

    results = read_results(out)
    metric = "SDR" if any(name == "SDR" for run in results.runs for _, name in run.medians) else "plain SDR"
    baselines = [method for method in reversed(results.methods) if method.startswith("B")]
    comparisons = [comparison_table(results, baseline, metric) for baseline in baselines]
    tables = [table_1(results), *comparisons, guard_table(results, metric), plain_table(results)]
    if results.left_out:
        tables.append(f"Left out, because some method has not done them yet: {', '.join(results.left_out)}")
    text = "\n\n".join(table for table in tables if table) + "\n"
    print(text)
    (out / "tables.md").write_text(text, encoding="utf-8")
    write_csv(results, out / "songs.csv")
    write_json(results, out / "results.json")
    for path in write_figures(results, out, metric):
        print(path)


def _windows(text: str) -> Windows:
    from ugosa_research.evaluation.windows import WINDOWS, Windows

    if text in WINDOWS:
        return WINDOWS[text]
    try:
        window_s, hop_s = (float(part) for part in text.split("/"))
    except ValueError:
        window_s = hop_s = 0.0
    if not (window_s > 0 and hop_s > 0):
        raise BadOptionError(
            f"windows are {text!r}, but must be {', '.join(WINDOWS)}, or a length and a hop in seconds, "
            "like 2/1.5"
        )
    return Windows(window_s, hop_s)


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _switches(text: str) -> list[bool]:
    if not set(text.split(",")) <= {"on", "off"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not on, off or off,on")
    return [part == "on" for part in text.split(",")]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]
